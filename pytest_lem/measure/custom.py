"""A cycle whose windows a test's own loop opens: marked, counted, costed afterwards."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

from pytest_lem.analysis.flops import Work as Forwards
from pytest_lem.engines import Completion, Generation
from pytest_lem.errors import ConfigError, NullMetricError
from pytest_lem.measure.conclusion import broken, conclude
from pytest_lem.measure.cycle import flag_short
from pytest_lem.measure.laboratory import Bench, Heard, Laboratory
from pytest_lem.measure.marks import mark_cycle
from pytest_lem.measure.notebook import Notebook, now
from pytest_lem.measure.quality import look_at_quality
from pytest_lem.measure.resting import rest_before
from pytest_lem.measure.tenants import look_for_others
from pytest_lem.measure.watching import look_at_memory
from pytest_lem.measure.window import Pass
from pytest_lem.meters.metering import Metering
from pytest_lem.records.record import Cycle
from pytest_lem.spec.experiment import Experiment
from pytest_lem.spec.parameters.slo import Slo
from pytest_lem.workload.prompts import recipe_sha256, token_sha256

Work = list[list[tuple[int, int]]]
"""Of each window, the input and output tokens of each request that was counted."""

_OF_ONE_PASS = ("scheduler", "speculation", "request_times_ms", "mfu_metrics")


class LoopWindow:
    """A span of the test's own loop: two time stamps, and what was counted in it.

    `count` takes completions that the test's engine generated inside the window, each
    once; inside the block or after it. The properties are for after the block.
    """

    def __init__(self, index: int, bench: Bench, metering: Metering) -> None:
        self.index = index
        self.heard: Heard = []
        self.counted: list[Completion] = []
        self.start_ns = 0
        self.end_ns: int | None = None
        self._bench = bench
        self._metering = metering

    def count(self, completions: Sequence[Completion]) -> None:
        """Count requests and their tokens towards the window."""
        generated = {id(one) for _, made in self.heard for one in made.completions}
        known = {id(one) for one in self.counted}
        for one in completions:
            if id(one) not in generated:
                raise ConfigError(
                    f"window {self.index}: w.count() takes completions that the "
                    "test's `engine` generated inside this window"
                )
            if id(one) in known:
                raise ConfigError(
                    f"window {self.index}: a completion was counted twice"
                )
            known.add(id(one))
            self.counted.append(one)

    @property
    def energy_j(self) -> float:
        """Gross joules; raises NullMetricError with the reason where there are none."""
        start_s, end_s = self.start_ns / 1e9, self._ended() / 1e9
        self._metering.settle(end_s)
        reading = self._metering.energy(start_s, end_s, devices=self._bench.devices)
        if reading.gross_j is None:
            raise NullMetricError(f"energy_j does not exist: {reading.reason}")
        return reading.gross_j

    @property
    def output_tokens(self) -> int:
        """Tokens that the engine counted; raises NullMetricError if none was told."""
        self._ended()
        if not self.counted:
            raise NullMetricError("output_tokens does not exist: nothing_counted")
        return sum(one.output_tokens for one in self.counted)

    def as_pass(self, slo: Slo | None) -> Pass:
        """The window as a pass that has run and is not yet costed."""
        asked = {
            id(one): prompt
            for prompts, generation in self.heard
            for prompt, one in zip(prompts, generation.completions, strict=True)
        }
        made = [generation for _, generation in self.heard]
        generation = Generation(
            start_ns=self.start_ns,
            end_ns=self._ended(),
            completions=self.counted,
            batches=_batches(self.counted),
            padding_tokens=sum(one.padding_tokens for one in made),
            memory=_largest(made),
            native=_native(made),
            work=_work_of(made),
            padding_told=all(one.padding_told for one in made),
        )
        return Pass(
            kind="energy",
            index=self.index,
            token_sha256=token_sha256([asked[id(one)] for one in self.counted]),
            generation=generation,
            slo=slo,
        )

    def _ended(self) -> int:
        if self.end_ns is None:
            msg = "the window is still open"
            raise RuntimeError(msg)
        return self.end_ns


class CustomCycle:
    """One cycle of an experiment, as its test's body goes through it.

    The engine is loaded and idle power read before the first window opens; nothing is
    warmed up. `identify` is told what was counted, before the cycle is kept.
    """

    def __init__(
        self,
        lab: Laboratory,
        experiment: Experiment,
        index: int,
        *,
        identify: Callable[[Work], None],
        keep: Callable[[Cycle], None],
    ) -> None:
        self._lab = lab
        self._notes = Notebook(experiment=experiment, index=index, started_at=now())
        lab.metering.concern(experiment=experiment.id, cycle=index)
        self._notes.flags.add("custom_loop")
        self._notes.nulls["warmup"] = "custom_loop"
        self._notes.prompts = {"source": "custom_loop"}
        self._notes.watched.uncounted = "custom_loop"
        self._windows: list[LoopWindow] = []
        self._open = self._torn = False
        self._identify = identify
        self._keep = keep

    @contextmanager
    def window(self) -> Iterator[LoopWindow]:
        """Mark a span of the loop; windows follow one another and never overlap."""
        if self._open:
            raise ConfigError("a window is open already: windows cannot be nested")
        if self._windows and self._notes.experiment.effort.cold_start:
            raise ConfigError("cold_start: only the first window after a load is cold")
        bench = self._ready()
        window = LoopWindow(len(self._windows), bench, self._lab.metering)
        self._windows.append(window)
        self._lab.progress.phase(f"window {window.index + 1}")
        self._open, bench.heard = True, window.heard
        window.start_ns = time.monotonic_ns()
        try:
            yield window
            window.end_ns = time.monotonic_ns()
        except BaseException:
            self._torn = True
            raise
        finally:
            self._open, bench.heard = False, None

    def finish(self, error: BaseException | None) -> None:
        """The test's body has ended, by itself or with `error`: make the cycle.

        An assertion about windows that have ended judges the cycle and does not break
        it. Raises what forbids the cycle to count.
        """
        asserted = isinstance(error, AssertionError) and not self._torn
        try:
            if error is not None and not asserted:
                self._write_passes()
                self._keep(broken(self._lab, self._notes, error))
            else:
                self._complete()
        finally:
            mark_cycle(self._lab.metering, self._notes)
            self._lab.progress.clear()

    def _ready(self) -> Bench:
        notes = self._notes
        if notes.bench is None:
            rest_before(self._lab, notes)
        bench = self._lab.bench(notes.experiment, notes.index)
        if notes.bench is None:
            notes.bench = bench
            notes.flags |= set(bench.loaded.flags)
            look_for_others(self._lab, notes)
            notes.idle = self._lab.idle_of(bench)
        elif notes.bench is not bench:
            raise ConfigError("the engine failed in this cycle: it cannot be measured")
        return bench

    def _complete(self) -> None:
        lab, notes = self._lab, self._notes
        try:
            self._write_passes()
            self._check()
            if notes.bench is not None and notes.idle is not None:
                lab.idle_after(notes.bench, notes.idle)
            lab.progress.phase("settle")
            lab.metering.settle(notes.passes[-1].end_s)
            look_for_others(lab, notes)
            if notes.bench is not None:
                look_at_memory(lab, notes, notes.bench)
                look_at_quality(lab, notes, notes.bench)
            flag_short(lab, notes)
            self._identify([_work(window) for window in self._windows])
            cycle = conclude(lab, notes)
        except BaseException as error:
            self._keep(broken(lab, notes, error))
            raise
        self._keep(cycle)

    def _check(self) -> None:
        if self._torn:
            raise ConfigError(
                "an exception left a window and the test went on: the window is not "
                "whole, and the cycle cannot count"
            )
        for window in self._windows:
            if not window.counted:
                raise ConfigError(
                    f"window {window.index} counted nothing: tell it the engine's "
                    "completions with w.count(completions)"
                )

    def _write_passes(self) -> None:
        """What the windows that ended found, as far as the body came."""
        whole = [w for w in self._windows if w.end_ns is not None and w.counted]
        slo = self._notes.experiment.workload.slo
        passes = [window.as_pass(slo) for window in whole]
        digest = recipe_sha256({"token_sha256": [one.token_sha256 for one in passes]})
        self._notes.passes = passes
        self._notes.prompts = {"source": "custom_loop", "recipe_sha256": digest}


def _work(window: LoopWindow) -> list[tuple[int, int]]:
    return [(one.input_tokens, one.output_tokens) for one in window.counted]


def _native(made: Sequence[Generation]) -> dict[str, Any]:
    """What the engine told last; figures of one pass only where there was only one."""
    if len(made) == 1:
        return made[0].native
    return {k: one for k, one in made[-1].native.items() if k not in _OF_ONE_PASS}


def _work_of(made: Sequence[Generation]) -> list[Forwards] | None:
    """All forward calls of the window; None where the engine does not tell them."""
    told = [one.work for one in made]
    known = [work for work in told if work is not None]
    return [one for work in known for one in work] if len(known) == len(told) else None


def _largest(made: Sequence[Generation]) -> dict[str, float | None]:
    """The largest of each size of memory that the engine read after its passes."""
    keys = dict.fromkeys(key for one in made for key in one.memory)
    read = {key: [one.memory.get(key) for one in made] for key in keys}
    return {
        key: max((size for size in sizes if size is not None), default=None)
        for key, sizes in read.items()
    }


def _batches(completions: Sequence[Completion]) -> list[int]:
    """Sizes of the batches: requests of one batch are sent and end together."""
    spans = sorted((one.sent_ns, one.ended_ns) for one in completions)
    return [len(list(same)) for _, same in groupby(spans)]
