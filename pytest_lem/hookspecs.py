"""Hooks that other plugins and conftest files may implement."""

from typing import Any

import pytest


@pytest.hookspec
def pytest_lem_register_engines(registry: Any) -> None:
    """Add backends: call `registry.add(EngineEntry(...))`.

    Called once, before backends are looked up; conftest files beside the tests are
    heard, `registry` is a `pytest_lem.engines.registry.Registry`.
    """


@pytest.hookspec
def pytest_lem_register_meters(registry: Any) -> None:
    """Add meters: call `registry.add(name, factory)`, or `(name, "module:factory")`.

    `factory(argument, gpus)` gives a `pytest_lem.meters.Meter`; `argument` is what
    follows the colon of `--lem-meter=name:argument`.
    """


@pytest.hookspec
def pytest_lem_environment(environment: dict[str, Any]) -> None:
    """Add facts of this machine to the record, under keys that begin with `x_`."""


@pytest.hookspec
def pytest_lem_cycle_start(item: pytest.Item, cycle: int) -> None:
    """A cycle of an experiment is about to be measured."""


@pytest.hookspec
def pytest_lem_cycle_finish(item: pytest.Item, cycle: Any) -> None:
    """A cycle was measured, or failed, or will be run again; `cycle` is its record."""


@pytest.hookspec(firstresult=True)
def pytest_lem_should_stop(item: pytest.Item, results: Any) -> str | None:
    """An experiment is about to begin: why it is left out; None where it is not.

    `results` has the `Result` of each experiment that has begun, by its node id.
    """


@pytest.hookspec
def pytest_lem_record(record: Any, item: pytest.Item) -> None:
    """The record of an experiment is complete."""
