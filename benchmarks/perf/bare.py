"""How a bare script answers: one JSON line each, whatever its library prints."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def answering() -> Iterator[Callable[[Any], None]]:
    """A function that answers on standard output; prints go to standard error."""
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)

        def answer(value: Any) -> None:
            print(json.dumps(value), file=out, flush=True)

        yield answer


def outcome(rows: Sequence[Sequence[int]], duration_ns: int) -> dict[str, Any]:
    """The answer to a request: seconds, tokens that came out, and their hash."""
    text = json.dumps(rows)
    return {
        "duration_s": duration_ns / 1e9,
        "tokens": sum(map(len, rows)),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
