"""vLLM with a stamp for each token: by its steps, or through its asynchronous engine.

`AsyncLLM` is what servers use; its core is always in a process of its own. Where the
core is in this process, or an engine was loaded without streaming, the steps of
`LLMEngine` are taken one by one. Both take requests at scheduled times.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import queue
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any

from pytest_lem.engines import GenerateOptions
from pytest_lem.engines.clients import Clients, in_tasks, taken
from pytest_lem.engines.limits import End, Overdue
from pytest_lem.engines.served import Heard
from pytest_lem.engines.vllm.requests import Flight
from pytest_lem.errors import ConfigError

_NAMES = itertools.count()


class AsyncFront:
    """vLLM's `AsyncLLM` behind the methods of `LLM` that the engine uses.

    Its event loop runs in the calling thread, and only during a call: between calls
    nothing of it takes time.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._loop = asyncio.new_event_loop()
        try:
            self.llm_engine: Any = self._wait(_started(arguments))
            self._tokenizer = self._wait(_had(self.llm_engine.get_tokenizer()))
        except BaseException:
            self._loop.close()
            raise

    def get_tokenizer(self) -> Any:
        """The model's own tokenizer."""
        return self._tokenizer

    def collective_rpc(self, method: str) -> list[Any]:
        """What each of vLLM's workers answers."""
        answers: list[Any] = self._wait(self.llm_engine.collective_rpc(method))
        return answers

    def add_lora(self, adapter: Any) -> Any:
        """Load an adapter."""
        return self._wait(self.llm_engine.add_lora(adapter))

    def reset_prefix_cache(self) -> Any:
        """Empty the prefix cache; False where requests keep it from that."""
        return self._wait(self.llm_engine.reset_prefix_cache())

    def serve(
        self, flight: Flight, options: GenerateOptions, heard: list[Heard]
    ) -> list[Heard]:
        """All requests of a flight as they are sent, with the events of their tokens.

        They are noted in `heard`. Without stamps each has its last event alone.
        """
        kind = "DELTA" if flight.stamps else "FINAL_ONLY"
        flight = flight.of_kind(kind)
        names = [_name() for _ in heard]

        async def one(place: int) -> None:
            heard[place].sent_ns = time.monotonic_ns()
            events = self.llm_engine.generate(
                flight.prompts[place],
                flight.sampled(place),
                names[place],
                lora_request=flight.adapter(place),
                priority=flight.priority(place),
            )
            async for output in events:
                _take(heard[place], output, time.monotonic_ns())

        async def end(place: int, end: End) -> None:
            heard[place].end = heard[place].end or end
            await self.llm_engine.abort(names[place])  # its last event says so

        work = in_tasks(len(heard), options, one, heard, end)
        _note(heard, self._wait(work))
        return heard

    def close(self) -> None:
        """Shut the core's process down."""
        try:
            self.llm_engine.shutdown()
            self._wait(asyncio.sleep(0))  # the task that it cancels has to hear of it
        finally:
            self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)


def fly(
    llm: Any, flight: Flight, options: GenerateOptions, heard: list[Heard]
) -> list[Any]:
    """One flight on an engine: `RequestOutput`s, or `Heard` where it is `timed`.

    `heard` has one for each request, in which is noted what comes.
    """
    if isinstance(llm, AsyncFront):
        done = llm.serve(flight, options, heard)
        return done if flight.timed else [one.output for one in done]
    if flight.timed:
        return stepped(llm.llm_engine, flight, options, heard)
    if flight.beams:
        return list(
            llm.beam_search(flight.prompts, flight.params, lora_request=flight.lora)
        )
    return list(
        llm.generate(
            flight.prompts,
            flight.params if flight.own is None else flight.own,
            use_tqdm=False,
            lora_request=flight.lora,
            priority=flight.priorities,
        )
    )


def add_lora(llm: Any, adapter: Any) -> None:
    """Load an adapter before a request needs it."""
    (llm if isinstance(llm, AsyncFront) else llm.llm_engine).add_lora(adapter)


def entry_point(llm: Any) -> str:
    """The class of vLLM's that an engine is used by."""
    return "AsyncLLM" if isinstance(llm, AsyncFront) else "LLM"


def path(llm: Any, flight: Flight) -> str:
    """Which of vLLM's ways runs a flight, for the record."""
    if isinstance(llm, AsyncFront):
        return "AsyncLLM.generate"
    if flight.timed:
        return "LLMEngine.step"
    return "LLM.beam_search" if flight.beams else "LLM.generate"


def close(llm: Any) -> None:
    """Shut an engine down, and what processes it has."""
    if isinstance(llm, AsyncFront):
        llm.close()
    else:
        llm.llm_engine.engine_core.shutdown()


def stepped(
    engine: Any, flight: Flight, options: GenerateOptions, heard: list[Heard]
) -> list[Heard]:
    """All requests of a flight through an `LLMEngine`, step by step.

    The engine is handed before a step what was sent until then.
    """
    flight = flight.of_kind("DELTA")
    running: dict[str, Heard] = {}
    overdue = Overdue(options)
    sent: queue.SimpleQueue[int] = queue.SimpleQueue()
    with Clients(len(heard), options, sent.put) as clients:
        while True:
            idle = not engine.has_unfinished_requests()
            more = bool(options.due_ns) and len(running) < len(heard)
            if idle and sent.empty() and not more:
                break
            for place in taken(sent, wait=idle):
                running[name := _name()] = heard[place]
                heard[place].sent_ns = clients.sent_ns[place]
                engine.add_request(
                    name,
                    flight.prompts[place],
                    flight.sampled(place),
                    lora_request=flight.adapter(place),
                    priority=flight.priority(place),
                )
            outputs = engine.step()
            at_ns = time.monotonic_ns()
            for output in outputs:
                _take(running[output.request_id], output, at_ns)
                if output.finished:
                    clients.ended()
            for name, end in overdue.found(_open(running), at_ns):
                running[name].end = end
                engine.abort_request([name])
                clients.ended()
    _note(heard, clients)
    return heard


def _open(running: Mapping[str, Heard]) -> Iterator[tuple[str, int, int | None]]:
    for name, one in running.items():
        if one.end is None and not one.finished:
            yield name, one.sent_ns, one.last_ns


def _take(one: Heard, output: Any, at_ns: int) -> None:
    """Note an event, which has only what is new; the last one then has all of it."""
    one.take(list(output.outputs[0].token_ids), output, at_ns)
    if output.finished:
        output.outputs[0].token_ids = one.ids


def _note(heard: Sequence[Heard], clients: Clients) -> None:
    """When each request was sent, and due; one that was never sent has no times."""
    for one, sent_ns in zip(heard, clients.sent_ns, strict=False):
        one.sent_ns = sent_ns
    for one, due_ns in zip(heard, clients.due_ns, strict=False):
        one.due_ns = due_ns


def flights(whole: Flight, batch_size: int, section: Mapping[str, Any]) -> list[Flight]:
    """A stamped flight, or one for each request where they go one at a time.

    Raises ConfigError for what has no time for each token.
    """
    if whole.beams or whole.params.n > 1:
        msg = "token times need one text of each prompt: no decoder.num_beams, vllm.n"
        raise ConfigError(msg)
    if section.get("output_kind") not in (None, "DELTA"):
        msg = (
            f"vllm.output_kind={section['output_kind']!r} has no event for each token: "
            "leave it out, or say DELTA, where tokens are timed"
        )
        raise ConfigError(msg)
    if batch_size > 1 or whole.paced:
        return [whole]
    return [whole.only(place) for place in range(len(whole.prompts))]


async def _started(arguments: Mapping[str, Any]) -> Any:
    """Started within the loop, so that its tasks are of this one; defaults as `LLM`."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.async_llm import AsyncLLM

    return AsyncLLM.from_engine_args(
        AsyncEngineArgs(**arguments), usage_context=UsageContext.LLM_CLASS
    )


async def _had(value: Any) -> Any:
    """A value that some versions have to be waited for."""
    return await value if inspect.isawaitable(value) else value


def _name() -> str:
    return f"lem-{next(_NAMES)}"
