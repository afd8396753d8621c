"""The JSON of pytest-benchmark, which `pytest-benchmark compare` reads.

It has seconds alone and takes more for worse: a benchmark is a cost, named with its
metric behind the test, so that no two metrics are ever compared.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest_benchmark
from pytest_benchmark.stats import Stats

from pytest_lem.records.record import Record
from pytest_lem.report.services.costs import Cost, cost
from pytest_lem.report.services.figures import Figure


def told(record: Record, figures: Sequence[Figure]) -> dict[str, Any]:
    """A benchmark for each value; raises ConfigError for a metric that is no cost."""
    git = record.session.git or {}
    return {
        "machine_info": _machine(record.environment),
        "commit_info": {
            **dict.fromkeys(("time", "author_time", "project", "branch")),
            "id": git.get("commit", "unversioned"),
            "dirty": bool(git.get("dirty")),
        },
        "benchmarks": [
            _benchmark(one, cost(one.metric, one.samples, one.guess)) for one in figures
        ],
        "datetime": record.session.started_at,
        "version": pytest_benchmark.__version__,
    }


def group(one: Cost) -> str:
    """The group of a cost, whose title says what its seconds are."""
    return f"{one.name} [{one.unit}]"


def about(
    one: Cost,
    metric: str,
    identity: str,
    told: Mapping[str, float],
    flags: Sequence[str],
) -> dict[str, Any]:
    """What `extra_info` has of an experiment: what its seconds are, and all else."""
    return {
        "metric": metric,
        "unit": one.unit,
        "identity": identity,
        "flags": list(flags),
        "metrics": dict(told),
    }


def _benchmark(figure: Figure, one: Cost) -> dict[str, Any]:
    stats: Any = Stats()  # type: ignore[no-untyped-call]
    for sample in one.samples:
        stats.update(sample)
    known = figure.experiment
    told = {name: it.value for name, it in known.summary.items()}
    flags, whole = known.flags, known.id
    place, bracket, parameters = whole.partition("[")
    name = f"{place.rpartition('::')[2]}{bracket}{parameters}"
    return {
        "group": group(one),
        "name": f"{name} {one.name}",
        "fullname": f"{whole} {one.name}",
        "params": None,
        "param": parameters.removesuffix("]") or None,
        "extra_info": {"lem": about(one, figure.metric, known.identity, told, flags)},
        "options": {},
        "stats": {**stats.as_dict(), "data": list(one.samples), "iterations": 1},
    }


def _machine(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What of the environment their comparison looks at, and the GPUs."""
    python = environment.get("python") or {}
    return {
        "python_version": python.get("version"),
        "python_implementation": python.get("implementation"),
        "cpu": environment.get("cpu") or {},
        "lem": {"gpu": gpus(environment.get("gpu") or ())},
    }


def gpus(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What of GPUs must be equal where costs are compared."""
    facts = ("name", "uuid", "driver_version", "power_limit_w")
    return [{fact: one.get(fact) for fact in facts} for one in found]
