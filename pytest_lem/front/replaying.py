"""Cycle means told to pytest-benchmark, whose saving and comparing then work on them.

Registered only where one of its options asks for that. Only its public fixture is used:
a timer that reads a sample, and as many rounds as there are samples.
"""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lem.front.items import is_measured
from pytest_lem.front.settings import SETTINGS
from pytest_lem.front.stash import REQUEST, SESSION, SILENT

if TYPE_CHECKING:
    from pytest_lem.records.result import Result
    from pytest_lem.report.services.costs import Cost

_ENERGY = "energy_per_output_token_j"
_SPEED = "output_throughput_tps"
_WITHOUT = (
    "nothing for pytest-benchmark to save or compare: experiments in YAML take no "
    "fixtures; `lem export --as pytest-benchmark` writes theirs"
)
_OPTIONS = ("save", "autosave", "json", "compare", "compare_fail", "histogram")


def asked(config: pytest.Config) -> bool:
    """Whether pytest-benchmark is there and is to save or to compare."""
    return config.pluginmanager.hasplugin("benchmark") and any(
        config.getoption(f"benchmark_{name}", None) for name in _OPTIONS
    )


class SampleClock:
    """A timer that reads zero when a round begins, and the recorded sample after it."""

    __name__ = "pytest_lem.SampleClock"

    def __init__(self) -> None:
        self._reading = 0.0

    def __call__(self) -> float:
        """Zero, or once after each round its sample."""
        reading, self._reading = self._reading, 0.0
        return reading

    def record(self, sample: float) -> None:
        """What the round of now cost."""
        self._reading = sample


class Replay:
    """Hands the costs of each experiment that passed to pytest-benchmark.

    Raises UsageError for a session that goes on: what passed before is not run again.
    """

    def __init__(self, config: pytest.Config) -> None:
        settings = config.stash[SETTINGS]
        if settings["resume"] is not None:
            raise pytest.UsageError(
                f"{settings.says('resume')}: pytest-benchmark would miss the tests "
                "that ended before; leave its options out, `lem export --as "
                "pytest-benchmark` writes all of them"
            )
        self._saved: set[str] = set()

    def pytest_benchmark_update_machine_info(
        self, machine_info: dict[str, Any]
    ) -> None:
        """Let its warning of another machine know the GPUs."""
        from dataclasses import asdict

        from pytest_lem.machine.gpu import discover
        from pytest_lem.report.services.benchmark import gpus

        machine_info["lem"] = {"gpu": gpus([asdict(one) for one in discover()])}

    def pytest_benchmark_compare_machine_info(
        self, compared_benchmark: dict[str, Any]
    ) -> None:
        """Learn what the saved run has, of which metrics."""
        self._saved |= {one["fullname"] for one in compared_benchmark["benchmarks"]}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Iterator[None]:
        """Let --benchmark-only and --benchmark-skip find our tests among its own.

        It knows them by the fixture's name, which must be gone before a test is set up:
        the fixture is wanted in the last cycle alone.
        """
        lent = []
        for item in filter(is_measured, items):
            names = _fixtures(item)
            if "benchmark" not in names:
                names.append("benchmark")
                lent.append(names)
        try:
            return (yield)
        finally:
            for names in lent:
                names.remove("benchmark")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Hand over what an experiment cost when its last cycle has passed."""
        report = yield
        last = report.when == "call" and not item.stash.get(SILENT, False)
        passed = report.passed and not hasattr(report, "wasxfail")
        if last and passed and is_measured(item) and not _own(item):
            problem = self._hand_over(item)
            if problem and item.config.getoption("benchmark_compare_fail"):
                report.outcome, report.longrepr = "failed", problem
            elif problem:
                item.warn(pytest.PytestWarning(problem))
        return report

    def _hand_over(self, item: pytest.Item) -> str | None:
        """Replay the cycles; the line to say where that cannot be compared."""
        from pytest_lem.errors import ConfigError
        from pytest_lem.report.services.benchmark import about, group

        if REQUEST not in item.stash:
            return _WITHOUT
        state = item.config.stash[SESSION]
        result = state.result(item.nodeid)
        try:
            metric, one, why = _cost(result)
        except ConfigError as error:
            return f"nothing for pytest-benchmark to save or compare: {error}"
        clock = SampleClock()
        mark = item.get_closest_marker("benchmark")
        given = dict(mark.kwargs) if mark else {}
        options = {"group": group(one), **given, "timer": clock, "cprofile": False}
        item.add_marker(pytest.mark.benchmark(**options), append=False)
        benchmark = item.stash[REQUEST].getfixturevalue("benchmark")
        benchmark.name = f"{item.name} {one.name}"
        benchmark.fullname = f"{item.nodeid} {one.name}"
        identity = state.program.identities[item.nodeid]
        told = about(one, metric, identity, _values(result), sorted(result.flags))
        benchmark.extra_info["lem"] = {**told, "no_energy": why}
        samples = iter(one.samples)
        benchmark.pedantic(
            clock.record,
            setup=lambda: ((next(samples),), {}),
            rounds=len(one.samples),
        )
        return self._apart(item.nodeid, one.name, why)

    def _apart(self, item_id: str, name: str, why: str | None) -> str | None:
        """What the saved run has of the test in place of this metric."""
        mine = {one for one in self._saved if one.startswith(f"{item_id} ")}
        if not mine or f"{item_id} {name}" in mine:
            return None
        other = ", ".join(sorted(one.removeprefix(f"{item_id} ") for one in mine))
        reason = f": {why}" if why else ""
        return (
            f"the run saved by pytest-benchmark has {other} of this test, and this one "
            f"has {name}{reason}: they are not compared"
        )


def _cost(result: "Result") -> "tuple[str, Cost, str | None]":
    """Measured energy, or else time; the metric, its values, and why not energy."""
    from pytest_lem.errors import ConfigError
    from pytest_lem.report.services.costs import cost
    from pytest_lem.report.services.figures import guess

    flags = sorted(result.flags)
    energy, speed = getattr(result, _ENERGY), getattr(result, _SPEED)
    worth = guess(flags, _ENERGY)
    if energy.exists and worth is None:
        return _ENERGY, cost(_ENERGY, energy.samples), None
    if not speed.exists:
        raise ConfigError(f"{_SPEED} is null: {speed.reason}")
    why = f"energy is {worth}" if energy.exists else f"no energy: {energy.reason}"
    return _SPEED, cost(_SPEED, speed.samples, guess(flags, _SPEED)), why


def _values(result: "Result") -> dict[str, float]:
    from pytest_lem.analysis.metrics import METRICS

    told = {name: getattr(result, name) for name in METRICS}
    return {name: one.value for name, one in told.items() if one.exists}


def _fixtures(item: pytest.Item) -> list[str]:
    names: list[str] = getattr(item, "fixturenames", [])
    return names


def _own(item: pytest.Item) -> bool:
    """Whether the test takes `benchmark` itself, and so uses it as it likes."""
    return "benchmark" in _fixtures(item)
