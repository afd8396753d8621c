"""TensorRT-LLM, request by request: `generate_async`, in a loop of our own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_lem.engines import Completion, GenerateOptions
from pytest_lem.engines.clients import in_tasks
from pytest_lem.engines.served import Span, completion
from pytest_lem.engines.tensorrt.requests import Flight
from pytest_lem.errors import ConfigError, GenerationError


@dataclass(slots=True, eq=False)
class Heard:
    """One request as its tokens come out; `chunks` has (when, how many) of each event.

    Drafts that are right, and a consumer that is late, give several tokens at once.
    """

    due_ns: int = 0
    sent_ns: int = 0
    chunks: list[tuple[int, int]] = field(default_factory=list)
    output: Any = None

    def take(self, output: Any, at_ns: int) -> None:
        """Note an event of the request's first text."""
        count = len(output.outputs[0].token_ids_diff)
        if count:
            self.chunks.append((at_ns, count))
        self.output = output

    @property
    def stamps(self) -> list[int]:
        """As many stamps as tokens."""
        return [at_ns for at_ns, count in self.chunks for _ in range(count)]

    @property
    def in_chunks(self) -> bool:
        """Whether tokens came several at a time."""
        return any(count > 1 for _, count in self.chunks)

    def whole(self) -> Any:
        """The request with all its tokens; GenerationError where the stream broke."""
        if self.output is None or not self.output.finished:
            count = len(self.stamps)
            msg = f"a stream ended after {count} tokens, before its request did"
            raise GenerationError(msg)
        return self.output


def fly(
    llm: Any, flight: Flight, options: GenerateOptions, loop: asyncio.Runner
) -> list[Any]:
    """One flight: `RequestOutput`s, or `Heard` where it is `timed`, in that loop."""
    if not flight.timed:
        params = flight.params if flight.own is None else flight.own
        made = llm.generate(flight.prompts, params, use_tqdm=False, **flight.more)
        return list(made)
    heard = [Heard() for _ in flight.prompts]

    async def one(place: int) -> None:
        asked = llm.generate_async(
            flight.prompts[place],
            flight.sampled(place),
            streaming=flight.stamps,
            **flight.more,
        )
        if flight.stamps:
            async for output in asked:
                heard[place].take(output, time.monotonic_ns())
        else:
            heard[place].take(await asked.aresult(), time.monotonic_ns())

    clients = loop.run(in_tasks(len(heard), options, one))
    for place, each in enumerate(heard):
        each.sent_ns = clients.sent_ns[place]
        each.due_ns = clients.due_ns[place] if clients.due_ns else 0
    return heard


def flights(whole: Flight, batch_size: int, section: Mapping[str, Any]) -> list[Flight]:
    """A stamped flight, or one for each request where they go one at a time.

    Raises ConfigError for what has no time for each token.
    """
    if whole.params.best_of > 1:
        msg = "token times need one text: no decoder.num_beams, tensorrt.n, best_of"
        raise ConfigError(msg)
    if section.get("num_postprocess_workers"):
        msg = "token times need tensorrt.num_postprocess_workers=0: others hold them up"
        raise ConfigError(msg)
    if batch_size > 1 or whole.paced:
        return [whole]
    return [whole.only(place) for place in range(len(whole.prompts))]


def streamed(
    heard: Sequence[Heard], span: Span, options: GenerateOptions, *, first: int = 0
) -> list[Completion]:
    """Requests with their own times; one alone in its flight has those of the call.

    The place of the first one in the pass is `first`. Tokens have stamps where options
    ask for them.
    """
    alone = len(heard) == 1
    return [
        completion(
            one.whole(),
            span if alone else (one.sent_ns, one.stamps[-1]),
            options.of(place),
            one.stamps if options.stamps else (),
        )
        for place, one in enumerate(heard, first)
    ]
