"""What engines that schedule requests themselves answer alike: vLLM, TensorRT-LLM.

Both give a `RequestOutput` for each request, and begin as many as fit at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_lem.analysis.failures import Outcome
from pytest_lem.analysis.flops import Work
from pytest_lem.engines import Completion, GenerateOptions
from pytest_lem.engines.contract import check_count
from pytest_lem.engines.limits import End

Span = tuple[int, int]
Reason = Literal["length", "stop", "unknown"]

_GOOD = ("length", "stop")


@dataclass(slots=True, eq=False)
class Heard:
    """One request as its tokens come out; `chunks` has (when, how many) of each event.

    Drafts that are right, and a consumer that is late, give several tokens at once:
    they share its time. `end` is why the request was ended, if it was.
    """

    due_ns: int = 0
    sent_ns: int = 0
    ids: list[int] = field(default_factory=list)
    chunks: list[tuple[int, int]] = field(default_factory=list)
    output: Any = None
    end: End | None = None

    def take(self, ids: Sequence[int], output: Any, at_ns: int) -> None:
        """Note an event: the tokens that are new in it, of the request's first text."""
        if ids:
            self.chunks.append((at_ns, len(ids)))
            self.ids += ids
        self.output = output

    @property
    def stamps(self) -> list[int]:
        """As many stamps as tokens."""
        return [at_ns for at_ns, count in self.chunks for _ in range(count)]

    @property
    def last_ns(self) -> int | None:
        """When the last token came; None where none did."""
        return self.chunks[-1][0] if self.chunks else None

    @property
    def in_chunks(self) -> bool:
        """Whether tokens came several at a time."""
        return any(count > 1 for _, count in self.chunks)

    @property
    def finished(self) -> bool:
        """Whether its last event has come, and nobody ended it."""
        return self.end is None and self.output is not None and self.output.finished


def with_failed(
    times: Mapping[str, Sequence[float] | None], done: Sequence[Completion]
) -> dict[str, list[float | None] | None]:
    """Times of requests that completed, with None for each that did not."""
    found: dict[str, list[float | None] | None] = {}
    for name, values in times.items():
        known = iter(values or ())
        found[name] = (
            None
            if values is None
            else [next(known) if one.outcome == "completed" else None for one in done]
        )
    return found


def completion(
    output: Any, span: Span, options: GenerateOptions, stamps: Sequence[int] = ()
) -> Completion:
    """A request from its `RequestOutput`; tokens are those that came out, counted.

    One that ended otherwise than by its length or an end has failed. Raises
    GenerationError where more was done than was asked for.
    """
    texts = [(list(one.token_ids), _reason(one, options)) for one in output.outputs]
    for ids, reason in texts:
        check_count(len(ids), reason, options)
    reasons = {reason for _, reason in texts}
    outcome, error = _outcome(output)
    return Completion(
        input_tokens=len(output.prompt_token_ids),
        output_ids=[token for ids, _ in texts for token in ids],
        finish_reason=reasons.pop() if len(reasons) == 1 else "unknown",
        sent_ns=span[0],
        ended_ns=span[1],
        token_ns=list(stamps),
        texts=len(texts),
        outcome=outcome,
        error=error,
    )


def read(
    outcome: Sequence[Any],
    lengths: Sequence[int],
    span: Span,
    options: GenerateOptions,
    *,
    timed: bool,
    first: int = 0,
) -> tuple[list[Completion], list[Any]]:
    """The requests of a flight, and the `RequestOutput`s of those that completed.

    `outcome` has a `Heard` for each where they are `timed`; `lengths` are those of
    their prompts, `first` is the place of the first of them in the pass.
    """
    if timed:
        made = _streamed(outcome, lengths, span, options, first)
        outputs = [one.output for one in outcome]
    else:
        outputs = list(outcome)
        made = [
            completion(one, span, options.of(place))
            for place, one in enumerate(outputs, first)
        ]
    ends = zip(outputs, made, strict=True)
    return made, [output for output, one in ends if one.outcome == "completed"]


def _streamed(
    heard: Sequence[Heard],
    lengths: Sequence[int],
    span: Span,
    options: GenerateOptions,
    first: int,
) -> list[Completion]:
    """Requests with their own times; one alone in its flight has those of the call.

    Tokens have stamps where options ask for them. One that was ended has failed, with
    the tokens that came.
    """
    alone = len(heard) == 1
    done = []
    for place, (one, length) in enumerate(zip(heard, lengths, strict=True), first):
        stamps, end = one.stamps, one.end
        last_ns = max([one.sent_ns, *stamps[-1:], *([end.at_ns] if end else ())])
        own = span if alone else (one.sent_ns, last_ns)
        kept = stamps if options.stamps else []
        if one.finished:
            done.append(completion(one.output, own, options.of(place), kept))
            continue
        error = f"its stream broke off after {len(stamps)} tokens"
        done.append(
            Completion(
                input_tokens=length,
                output_ids=one.ids,
                finish_reason="unknown",
                sent_ns=own[0],
                ended_ns=own[1],
                token_ns=kept,
                outcome=end.outcome if end else "engine_error",
                error=end.error if end else error,
            )
        )
    return done


class Following:
    """Tells what was `_heard` of the last flight of an engine that broke off."""

    _heard: Sequence[Heard] = ()

    def salvage(
        self,
        batches: Sequence[Any],
        outcomes: Sequence[Any],
        spans: Sequence[Span],
        options: GenerateOptions,
        error: str,
    ) -> list[Completion]:
        """All requests of flights that ended, and those that were sent of the last.

        Where nothing was followed as it came, the whole of the last one has failed and
        nobody knows how far it was. Of beams nothing is told.
        """
        if any(getattr(flight, "beams", 0) for flight in batches):
            return []
        done: list[Completion] = []
        for flight, outcome, span in zip(batches, outcomes, spans, strict=False):
            made, _ = read(
                outcome,
                flight.lengths,
                span,
                options,
                timed=flight.timed,
                first=len(done),
            )
            done += made
        last, span = batches[len(outcomes)], spans[-1]
        there = list(zip(self._heard, last.lengths, strict=True))
        if last.timed:
            there = [(one, length) for one, length in there if one.sent_ns]
        for one, _ in there:
            one.sent_ns = one.sent_ns or span[0]
            if not one.finished and one.end is None:
                one.end = End(span[1], "engine_error", error)
        heard, lengths = [one for one, _ in there], [length for _, length in there]
        return done + _streamed(heard, lengths, span, options, len(done))


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
    if one.finish_reason not in _GOOD:
        return "unknown"
    full = len(one.token_ids) == options.output_tokens
    return "length" if full and one.finish_reason == "length" else "stop"


def _outcome(output: Any) -> tuple[Outcome, str | None]:
    """How a request ended; an engine's own word for a failure is part of the error."""
    bad = [one for one in output.outputs if one.finish_reason not in _GOOD]
    if not bad:
        return "completed", None
    reason, count = bad[0].finish_reason, len(bad[0].token_ids)
    error = f"the engine ended it by {reason!r} after {count} tokens"
    return ("engine_error" if reason == "error" else "cancelled"), error
