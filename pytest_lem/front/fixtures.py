"""The fixtures `lem`, `engine` and `meter`, and what a test holds in its hands."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_lem.errors import ConfigError, LemError, NullMetricError
from pytest_lem.front.stash import CALLS, CYCLE, LOOP, REQUEST

if TYPE_CHECKING:
    from pytest_lem.engines import Completion
    from pytest_lem.front.session import LemSession
    from pytest_lem.measure.custom import LoopWindow
    from pytest_lem.meters.energy import EnergyReading
    from pytest_lem.meters.metering import Metering
    from pytest_lem.records.result import Result
    from pytest_lem.spec.workload import Workload


class Engine:
    """The item's engine; its worker starts at the first use.

    For tests and custom loops; what `lem()` measures needs none of it.
    """

    def __init__(self, session: "LemSession", item_id: str, turn: int) -> None:
        self._session = session
        self._item_id = item_id
        self._turn = turn

    @property
    def backend(self) -> str:
        """The backend's name."""
        return self._session.program.experiments[self._item_id].spec.backend

    def generate(
        self,
        prompts: Sequence[str | Sequence[int]],
        *,
        output_tokens: int | Sequence[int] = 128,
    ) -> "list[Completion]":
        """Generate exactly `output_tokens` for each prompt (texts or token ids).

        They are one number, or that of each prompt.
        """
        stamps = bool(self._session.settings["phases"])
        return self._generate(prompts, output_tokens, stamps=stamps)

    def stream(
        self,
        prompts: Sequence[str | Sequence[int]],
        *,
        output_tokens: int | Sequence[int] = 128,
    ) -> "list[Completion]":
        """The same with a time stamp for each token, in `Completion.token_ns`."""
        return self._generate(prompts, output_tokens, stamps=True)

    def text(self, completions: "Sequence[Completion]") -> list[str]:
        """What was generated, as text."""
        bench = self._session.bench(self._item_id, self._turn)
        return bench.client.detokenize([one.output_ids for one in completions])

    def _generate(
        self,
        prompts: Sequence[str | Sequence[int]],
        output_tokens: int | Sequence[int],
        *,
        stamps: bool,
    ) -> "list[Completion]":
        from pytest_lem.engines import GenerateOptions

        bench = self._session.bench(self._item_id, self._turn)
        ids = [
            bench.client.tokenize([one])[0] if isinstance(one, str) else list(one)
            for one in prompts
        ]
        workload = self._session.program.experiments[self._item_id].workload
        if isinstance(output_tokens, int):
            limits = [output_tokens] * len(ids)
        else:
            limits = [*output_tokens]
        if len(limits) != len(ids):
            msg = f"output_tokens has {len(limits)} lengths for {len(ids)} prompts"
            raise ConfigError(msg)
        most = max(limits, default=1)
        options = GenerateOptions(
            output_tokens=most,
            min_output_tokens=most,
            output_limits=limits if len({*limits}) > 1 else (),
            batch_size=len(ids),
            decoder=workload.decoder.model_dump(),
            seed=workload.seed,
            stamps=stamps,
        )
        generation = bench.client.generate(ids, options)
        if bench.heard is not None:
            bench.heard.append((ids, generation))
        return generation.completions


class MeterWindow:
    """A span of time whose energy is known once it has ended."""

    def __init__(self, metering: "Metering") -> None:
        self._metering = metering
        self.start_s = time.monotonic()
        self.end_s: float | None = None

    @property
    def reading(self) -> "EnergyReading":
        """Energy of the span with its uncertainty, method, scope and flags."""
        if self.end_s is None:
            msg = "the window is still open"
            raise RuntimeError(msg)
        self._metering.settle(self.end_s)
        return self._metering.energy(self.start_s, self.end_s)

    @property
    def energy_j(self) -> float:
        """Joules; raises NullMetricError with the reason where there are none."""
        reading = self.reading
        if reading.gross_j is None:
            raise NullMetricError(f"energy_j does not exist: {reading.reason}")
        return reading.gross_j


class Meter:
    """The session's meters, usable without any engine."""

    def __init__(self, session: "LemSession") -> None:
        self._session = session

    @property
    def names(self) -> list[str]:
        """The meters at work."""
        return list(self._session.metering.names)

    @contextmanager
    def window(self) -> Iterator[MeterWindow]:
        """Mark a span; ask the window for its energy afterwards."""
        metering = self._session.metering
        metering.start()
        # A span before the first reading cannot be measured: let one arrive.
        metering.settle(time.monotonic())
        window = MeterWindow(metering)
        try:
            yield window
        finally:
            window.end_s = time.monotonic()
            metering.mark("meter", window.start_s, window.end_s)


class Lem:
    """Measures the item's experiment when called, or the windows that a test opens."""

    def __init__(self, session: "LemSession", item: pytest.Item) -> None:
        self._session = session
        self._item = item

    def __call__(
        self,
        engine: Engine | None = None,
        workload: "Workload | None" = None,
    ) -> "Result":
        """Run this cycle and return the result pooled over the cycles so far.

        Without arguments the workload is the marker's. `lem(engine, Workload(...))`
        is the form for workloads that only the test's body knows.
        """
        __tracebackhide__ = True
        self._refuse_both(self._item.stash[LOOP])
        calls = self._item.stash.get(CALLS, 0)
        self._item.stash[CALLS] = calls + 1
        if calls:
            raise ConfigError("lem() was called twice: one test is one experiment")
        if (engine is None) != (workload is None):
            raise ConfigError("lem() takes nothing, or an engine and a Workload")
        try:
            return self._session.measure(self._item.nodeid, self._begin(), workload)
        except LemError as error:
            # The line in the test and what went wrong; not the way through the house.
            raise error.with_traceback(None) from None

    def window(self) -> "AbstractContextManager[LoopWindow]":
        """A window of the test's own loop; a cycle may have several.

        `with lem.window() as w: out = engine.generate(...); w.count(out)`. Opening
        the first one loads the engine and reads idle power; nothing is warmed up. The
        cycle is made of the windows when the test's body ends.
        """
        __tracebackhide__ = True
        self._refuse_both(self._item.stash[CALLS])
        if self._item.stash[LOOP] is None:
            loop = self._session.custom(self._item.nodeid, self._begin())
            self._item.stash[LOOP] = loop
        opened: AbstractContextManager[LoopWindow] = self._item.stash[LOOP].window()
        return opened

    def _begin(self) -> int:
        """Tell that a cycle starts; its number."""
        cycle = self._item.stash.get(CYCLE, 0)
        hook = self._item.ihook
        hook.pytest_lem_cycle_start(item=self._item, cycle=cycle)
        return cycle

    def _refuse_both(self, other: object) -> None:
        __tracebackhide__ = True
        if other:
            raise ConfigError(
                "a test measures by lem() or by its own windows, lem.window(), not both"
            )


@pytest.fixture
def lem_backend(request: pytest.FixtureRequest) -> str:
    """The backend this item was parametrised with."""
    if not hasattr(request, "param"):
        pytest.fail(
            "take `lem` or `engine` as an argument of the test: experiments are "
            "planned before any test runs",
            pytrace=False,
        )
    return str(request.param)


@pytest.fixture
def lem(lem_backend: str, request: pytest.FixtureRequest) -> Lem:  # noqa: ARG001
    """Measure this test's experiment, by calling it once in the test."""
    from pytest_lem.front.session import session_of

    item = request.node
    item.stash[CALLS] = 0
    item.stash[LOOP] = None
    item.stash[REQUEST] = request
    return Lem(session_of(request.config), item)


@pytest.fixture
def engine(lem_backend: str, request: pytest.FixtureRequest) -> Engine:  # noqa: ARG001
    """The engine of this test, started at first use: `engine.generate([...])`."""
    from pytest_lem.front.session import session_of

    item = request.node
    turn = item.stash.get(CYCLE, 0)
    return Engine(session_of(request.config), item.nodeid, turn)


@pytest.fixture
def meter(request: pytest.FixtureRequest) -> Meter:
    """The energy meters: `with meter.window() as w: ...; w.energy_j`."""
    from pytest_lem.front.session import session_of

    return Meter(session_of(request.config))
