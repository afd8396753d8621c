"""What engines that schedule requests themselves answer alike: vLLM, TensorRT-LLM.

Both give a `RequestOutput` for each request, and begin as many as fit at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from pytest_lem.analysis.flops import Work
from pytest_lem.engines import Completion, GenerateOptions
from pytest_lem.engines.contract import check_count
from pytest_lem.errors import GenerationError

Span = tuple[int, int]
Reason = Literal["length", "stop", "unknown"]


def completion(
    output: Any, span: Span, options: GenerateOptions, stamps: Sequence[int] = ()
) -> Completion:
    """A request from its `RequestOutput`; tokens are those that came out, counted.

    Raises GenerationError where it is not what was asked for.
    """
    texts = [(list(one.token_ids), _reason(one, options)) for one in output.outputs]
    for ids, reason in texts:
        check_count(len(ids), reason, options)
    reasons = {reason for _, reason in texts}
    return Completion(
        input_tokens=len(output.prompt_token_ids),
        output_ids=[token for ids, _ in texts for token in ids],
        finish_reason=reasons.pop() if len(reasons) == 1 else "unknown",
        sent_ns=span[0],
        ended_ns=span[1],
        token_ns=list(stamps),
        texts=len(texts),
    )


def completions_of(
    outputs: Sequence[Any], span: Span, options: GenerateOptions
) -> list[Completion]:
    """All requests of a pass that were one flight."""
    return [
        completion(one, span, options.of(place)) for place, one in enumerate(outputs)
    ]


def together(rows: Sequence[Work], *, seqs: int) -> list[Work] | None:
    """Forward calls of requests of which so many share their steps.

    Not known where one ends before others and leaves its place to the next.
    """
    if len(rows) > seqs and len({row.steps for row in rows}) > 1:
        return None
    groups = [rows[start : start + seqs] for start in range(0, len(rows), seqs)]
    return [one for group in groups for one in _shared(group)]


def _shared(group: Sequence[Work]) -> list[Work]:
    """Requests that share their steps; those alike in one."""
    alike = [one._replace(rows=count) for one, count in Counter(group).items()]
    return [alike[0], *(one._replace(cache="shared") for one in alike[1:])]


def _reason(one: Any, options: GenerateOptions) -> Reason:
    """Why a text ended; anything but its length or an end is a failure."""
    if one.finish_reason not in ("length", "stop"):
        count = len(one.token_ids)
        msg = f"a request ended by {one.finish_reason!r} after {count} tokens"
        raise GenerationError(msg)
    full = len(one.token_ids) == options.output_tokens
    return "length" if full and one.finish_reason == "length" else "stop"
