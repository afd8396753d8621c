"""An experiment's settings one by one, each with where it came from."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from pytest_lem.spec import catalogue
from pytest_lem.spec.experiment import Experiment

_GROUPS = {"prompt_options": "none", "arrivals": "batch by batch", "slo": "none"}
"""Groups of keys that may be unset as a whole, and what holds then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A key, its value, and its origin: default, preset, ini, marker and so on.

    A value that is unset is None; `unset` then says what holds instead.
    """

    key: str
    value: Any
    origin: str
    unset: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def settings(experiment: Experiment) -> list[Setting]:
    """All settings of spec, workload and effort; of the section those that are set."""
    spec, workload, effort = experiment.spec, experiment.workload, experiment.effort
    values: dict[str, Any] = {
        **_without(spec.model_dump(), "engine"),
        **dict(_flat(spec.engine, f"{spec.backend}.", experiment.provenance)),
        **_without(workload.model_dump(), "decoder", *_GROUPS),
        **dict(_groups(experiment)),
        **{f"decoder.{k}": v for k, v in workload.decoder.model_dump().items()},
        **{one.name: getattr(effort, one.name) for one in fields(effort)},
        "warmup": str(effort.warmup),
        **{f"placement.{key}": value for key, value in experiment.placement.said()},
    }
    known = {row.path: row for row in catalogue.rows(catalogue.UNIVERSAL)}
    return [
        Setting(
            key=key,
            value=value,
            origin=experiment.provenance.get(key, "default"),
            unset=_unset(known, key) if value is None else "",
        )
        for key, value in values.items()
    ]


def _groups(experiment: Experiment) -> Iterator[tuple[str, Any]]:
    """Each key of a group; the group alone, which is unset, where there is none."""
    told = experiment.workload.model_dump()
    for name in _GROUPS:
        if told[name] is None:
            yield name, None
        else:
            yield from _flat(told[name], f"{name}.", experiment.provenance)


def _unset(known: Mapping[str, catalogue.Row], key: str) -> str:
    return _GROUPS[key] if key in _GROUPS else known[key].engine_default


def _without(values: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in keys}


def _flat(
    section: Mapping[str, Any], prefix: str, origins: Mapping[str, str]
) -> Iterator[tuple[str, Any]]:
    """The section's leaves, down to the keys that have an origin."""
    for key, value in section.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and path not in origins:
            yield from _flat(value, f"{path}.", origins)
        else:
            yield path, value
