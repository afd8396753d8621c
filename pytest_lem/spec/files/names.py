"""What an experiment file calls its keys, as a marker says the same."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from pytest_lem.errors import ConfigError
from pytest_lem.spec.aliases import resolve
from pytest_lem.spec.catalogue import nested
from pytest_lem.spec.demands import BUDGET
from pytest_lem.spec.experiment import MARKER_KEYS, SPEC_KEYS, unknown_key
from pytest_lem.spec.nearest import unknown
from pytest_lem.spec.parameters import SECTIONS
from pytest_lem.spec.workload import Workload

_OF_MODEL = ("fp_precision", *(name for name in SPEC_KEYS if name != "model"))


def universal(given: Mapping[str, Any], further: Iterable[str]) -> dict[str, Any]:
    """A file's values under a marker's keys, and `backend` and `config_name`.

    Nothing is said of older names: they are those that files have always had.
    `further` are keys that there may be beside a marker's: other backends, budgets.
    Raises ConfigError with a line for each key that is unknown, gone, or said twice.
    """
    problems: list[str] = []
    values = _model(given, problems)
    _traffic(values, problems)
    cold = values.pop("force_cold_start", False)
    if cold is not False and values.setdefault("cold_start", cold) != cold:
        problems.append("force_cold_start and cold_start are one: give one of them")
    values = resolve(values, {}, problems)
    problems += _unknown_keys(values, {*further})
    if problems:
        raise ConfigError("\n".join(problems))
    return values


def _model(given: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """With what `model: {name: ...}` holds at its place."""
    values = dict(given)
    if not isinstance(model := values.get("model"), Mapping):
        return values
    del values["model"]
    for key, value in model.items():
        name = "model" if key == "name" else key
        if key != "name" and key not in _OF_MODEL:
            choices = ("name", *_OF_MODEL)
            problems.append(unknown("key", str(key), choices, within="model."))
        elif values.get(name, value) != value:
            problems.append(
                f"model.{key}={value!r} and {name}={values[name]!r} are one parameter: "
                "give one of them"
            )
        else:
            values[name] = value
    return values


def _traffic(values: dict[str, Any], problems: list[str]) -> None:
    """Leave out traffic that is not enabled, and the word for it where it is."""
    traffic = values.get("traffic_simulation")
    if not isinstance(traffic, Mapping) or "enabled" not in traffic:
        return
    if not isinstance(enabled := traffic["enabled"], bool):
        problems.append(f"traffic_simulation.enabled={enabled!r} is no truth value")
    rest = {key: one for key, one in traffic.items() if key != "enabled"}
    del values["traffic_simulation"]
    if enabled and rest:
        values["traffic_simulation"] = rest


def _unknown_keys(values: Mapping[str, Any], further: set[str]) -> Iterator[str]:
    known = {*MARKER_KEYS, *further, "backend", "config_name"} - {"backends"}
    for key, value in values.items():
        if key not in known and not key.startswith(BUDGET):
            yield unknown_key(key, "", known)
        elif key in SECTIONS:
            yield from _within(SECTIONS[key], value, f"{key}.")
        elif key in Workload.model_fields:
            inner = nested(Workload.model_fields[key].annotation)
            if inner is not None:
                yield from _within(inner, value, f"{key}.")


def _within(model: type[BaseModel], values: Any, prefix: str) -> Iterator[str]:
    """The unknown keys of a section; its values are looked at with the others."""
    if not isinstance(values, Mapping):
        return
    for name, value in values.items():
        key = str(name)
        if key not in model.model_fields:
            yield unknown_key(key, prefix, model.model_fields)
        elif inner := nested(model.model_fields[key].annotation):
            yield from _within(inner, value, f"{prefix}{key}.")
