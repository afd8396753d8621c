"""TensorRT-LLM, request by request: `generate_async`, in a loop of our own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from pytest_lem.engines import GenerateOptions
from pytest_lem.engines.clients import in_tasks
from pytest_lem.engines.limits import End
from pytest_lem.engines.served import Heard
from pytest_lem.engines.tensorrt.requests import Flight
from pytest_lem.errors import ConfigError


def fly(
    llm: Any,
    flight: Flight,
    options: GenerateOptions,
    loop: asyncio.Runner,
    heard: list[Heard],
) -> list[Any]:
    """One flight: `RequestOutput`s, or `Heard` where it is `timed`, in that loop.

    `heard` has one for each request, in which is noted what comes.
    """
    if not flight.timed:
        params = flight.params if flight.own is None else flight.own
        made = llm.generate(flight.prompts, params, use_tqdm=False, **flight.more)
        return list(made)
    running: dict[int, Any] = {}

    def take(place: int, output: Any) -> None:
        new = output.outputs[0].token_ids_diff
        heard[place].take(new, output, time.monotonic_ns())

    async def one(place: int) -> None:
        heard[place].sent_ns = time.monotonic_ns()
        running[place] = asked = llm.generate_async(
            flight.prompts[place],
            flight.sampled(place),
            streaming=flight.stamps or flight.limited,
            **flight.more,
        )
        if flight.stamps or flight.limited:
            async for output in asked:
                take(place, output)
        else:
            take(place, await asked.aresult())

    async def end(place: int, end: End) -> None:
        heard[place].end = heard[place].end or end
        running[place].abort()  # its last event says so

    clients = loop.run(in_tasks(len(heard), options, one, heard, end))
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
