"""Lengths of requests, drawn from the seed: the same on every platform."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import lru_cache
from itertools import count as counting
from pathlib import Path
from typing import Any, Literal

from pytest_lem.errors import ConfigError
from pytest_lem.spec.lengths import PAIRED, Lengths
from pytest_lem.spec.workload import Workload
from pytest_lem.workload.prompts import token_sha256
from pytest_lem.workload.tables import table

COLUMNS = {
    "input": ("input_tokens", "input_length", "input", "ContextTokens"),
    "output": ("output_tokens", "output_length", "output", "GeneratedTokens"),
}
"""Where lengths are looked for in a file: our words, then those of published traces."""

Side = Literal["input", "output"]

_BITS = 64


def inputs_of(workload: Workload, count: int) -> list[int] | None:
    """Tokens in of each of so many requests; None where nothing draws them.

    Request k has the same lengths in every window and cycle, so that windows do equal
    work. Raises ConfigError for a file that cannot be read, or is too short.
    """
    if workload.input_lengths is None:
        return None
    return drawn(Lengths.parse(workload.input_lengths), count, workload.seed)


def outputs_of(workload: Workload, count: int) -> list[int] | None:
    """Tokens out of each of so many requests, as `inputs_of` has those in."""
    if workload.output_lengths is None:
        return None
    seed = workload.seed
    if workload.output_lengths == PAIRED:
        pairs = Lengths.parse(workload.input_lengths or "")
        return drawn(pairs, count, seed, column="output")
    how = Lengths.parse(workload.output_lengths)
    return drawn(how, count, seed, column="output", draw="output")


def drawn(
    how: Lengths,
    count: int,
    seed: int,
    *,
    column: Side = "input",
    draw: Side = "input",
) -> list[int]:
    """The lengths of the first `count` requests of any window, in tokens.

    Of a file each request has a row that the seed chooses, or of a trace the next one;
    `column` says which of its numbers. Different draws are independent of each other.
    """
    if how.kind == "trace":
        return _first(read_lengths(how.path, column), count, how.path)
    if how.kind == "file":
        rows = read_lengths(how.path, column)
        key = f"row:{seed}" if draw == "input" else f"row:{draw}:{seed}"
        words = (next(_words(f"{key}:{k}")) for k in range(count))
        return [rows[word * len(rows) >> _BITS] for word in words]
    return list(_made(how, count, seed, draw))


def beside(workload: Workload, root: Path) -> Workload:
    """The workload with the files of its lengths found from `root`, and read once.

    Raises ConfigError for one that cannot be read or is too short, and for lengths
    below `min_output_tokens`.
    """
    found: dict[str, str] = {}
    for name in ("input_lengths", "output_lengths"):
        text = getattr(workload, name)
        how = None if text in (None, PAIRED) else Lengths.parse(text)
        if how is not None and how.read:
            found[name] = f"{how.kind}:{root / how.path}"
    workload = workload.model_copy(update=found)
    inputs_of(workload, workload.most_requests)
    least = workload.min_output_tokens or 0
    for place, out in enumerate(outputs_of(workload, workload.most_requests) or ()):
        if out < least:
            msg = (
                f"min_output_tokens={least} is above the {out} that output_lengths has "
                f"for request {place}"
            )
            raise ConfigError(msg)
    return workload


def summary(lengths: Sequence[int]) -> dict[str, Any]:
    """What a record has of lengths: how many, their range, and the hash of all."""
    return {
        "n": len(lengths),
        "min": min(lengths),
        "mean": sum(lengths) / len(lengths),
        "max": max(lengths),
        "sha256": token_sha256([lengths]),
    }


def _first(rows: list[int], count: int, path: str) -> list[int]:
    if count > len(rows):
        msg = f"file {path} has {len(rows)} rows, and a window has {count} requests"
        raise ConfigError(msg)
    return rows[:count]


def read_lengths(path: str, side: Side = "input") -> list[int]:
    """The lengths in a table, in its order; raises ConfigError."""
    found = table(path)
    column = next((one for one in COLUMNS[side] if one in found.columns), None)
    if column is None:
        msg = (
            f"file {path} has no column {' or '.join(COLUMNS[side])}: it has "
            f"{', '.join(found.columns) or 'none'}"
        )
        raise ConfigError(msg)
    lengths = []
    for place, row in found.rows:
        text = str(row.get(column))
        if not text.strip().isdecimal() or int(text) < 1:
            msg = f"file {path}, {place}: {column}={text!r} is no whole number above 0"
            raise ConfigError(msg)
        lengths.append(int(text))
    if not lengths:
        msg = f"file {path} is empty: write one request a row"
        raise ConfigError(msg)
    return lengths


def digest(how: Lengths, side: Side = "input") -> str:
    """What decides the lengths, whatever a file is called."""
    if not how.read:
        return str(how)
    text = repr(read_lengths(how.path, side))
    return f"{how.kind}:{hashlib.sha256(text.encode()).hexdigest()}"


def output_digest(workload: Workload) -> str | None:
    """What decides the lengths out; None where nothing draws them."""
    asked = workload.output_lengths
    if asked == PAIRED:
        pairs = Lengths.parse(workload.input_lengths or "")
        return f"{PAIRED}:{digest(pairs, 'output')}"
    return None if asked is None else digest(Lengths.parse(asked), "output")


@lru_cache(maxsize=16)
def _made(how: Lengths, count: int, seed: int, draw: Side) -> tuple[int, ...]:
    make = _MAKERS[how.kind]
    # Decimal arithmetic, unlike that of floats, is the same to the last digit anywhere.
    with localcontext(Context(prec=28, rounding=ROUND_HALF_EVEN)):
        return tuple(
            make(how, _words(f"length:{draw}:{seed}:{place}")) for place in range(count)
        )


def _words(key: str) -> Iterator[int]:
    """Words of 64 bits without end, which follow from the key."""
    for block in counting():
        digits = hashlib.sha256(f"{key}:{block}".encode()).digest()
        for start in range(0, len(digits), _BITS // 8):
            yield int.from_bytes(digits[start : start + _BITS // 8], "little")


def _uniform(how: Lengths, words: Iterator[int]) -> int:
    assert how.high is not None
    return how.low + (next(words) * (how.high - how.low + 1) >> _BITS)


def _normal(how: Lengths, words: Iterator[int]) -> int:
    mean, std = Decimal(str(how.mean)), Decimal(str(how.std))
    return _within(how, (mean + std * z for z in _gauss(words)))


def _lognormal(how: Lengths, words: Iterator[int]) -> int:
    mean, std = Decimal(str(how.mean)), Decimal(str(how.std))
    variance = (1 + (std / mean) ** 2).ln()
    middle, sigma = mean.ln() - variance / 2, variance.sqrt()
    return _within(how, ((middle + sigma * z).exp() for z in _gauss(words)))


def _within(how: Lengths, values: Iterator[Decimal]) -> int:
    """The first one within the limits, which are wide enough to be met soon."""
    high = how.high
    lengths = (int(value.to_integral_value()) for value in values)
    return next(n for n in lengths if n >= how.low and (high is None or n <= high))


def _gauss(words: Iterator[int]) -> Iterator[Decimal]:
    """Standard normal numbers, by Marsaglia's polar method."""
    half = Decimal(2 ** (_BITS - 1))
    while True:
        x, y = Decimal(next(words)) / half - 1, Decimal(next(words)) / half - 1
        square = x * x + y * y
        if 0 < square < 1:
            yield x * (-2 * square.ln() / square).sqrt()


_MAKERS: dict[str, Callable[[Lengths, Iterator[int]], int]] = {
    "fixed": _uniform,
    "uniform": _uniform,
    "normal": _normal,
    "lognormal": _lognormal,
}
