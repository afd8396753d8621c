"""Everything in which two runs of an experiment differ, to explain why numbers do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pytest_lem.gate.side import Side

Group = Literal["asked", "ran", "machine", "session", "conditions", "flags"]

# Measured values that differ by less tell nothing.
NOTABLE_SHARE = 0.01
_CONDITIONS = (
    "sm_clock_mean_mhz",
    "memory_clock_mean_mhz",
    "temperature_start_c",
    "temperature_max_c",
    "utilisation_mean_pct",
    "power_peak_w",
)
# Of one process, one moment or one place on a disk.
_PASSING = {
    "command",
    "executable",
    "foreign_processes",
    "frequency_mhz",
    "incomplete",
    "path",
    "pid",
}
_ASKED_OF_MODEL = ("name", "revision", "precision", "adapter", "trust_remote_code")


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """One thing in which the sides differ; None where a side does not have it."""

    group: Group
    key: str
    first: Any
    second: Any

    def __str__(self) -> str:
        return f"{self.key}: {_text(self.first)} -> {_text(self.second)}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def apart(first: Side, second: Side) -> list[Apart]:
    """All of it, in groups: what was asked for comes first, flags last."""
    found = [
        *_unequal("asked", _asked(first), _asked(second)),
        *_unequal("ran", _ran(first), _ran(second)),
        *_unequal("machine", first.environment, second.environment),
        *_unequal("session", _session(first), _session(second)),
        *conditions(first, second),
    ]
    mine, its = set(first.experiment.flags), set(second.experiment.flags)
    return [
        *found,
        *(
            Apart(group="flags", key=flag, first=flag in mine, second=flag in its)
            for flag in sorted(mine ^ its)
        ),
    ]


def conditions(first: Side, second: Side) -> Iterator[Apart]:
    """Clocks, heat, load and idle power, as measured, where they are 1 % apart."""
    mine, its = _conditions(first), _conditions(second)
    for key in mine.keys() & its.keys():
        one, other = mine[key], its[key]
        if abs(one - other) > NOTABLE_SHARE * max(abs(one), abs(other)):
            yield Apart(group="conditions", key=key, first=one, second=other)


def _conditions(side: Side) -> dict[str, float]:
    heat = [
        window.thermal
        for cycle in side.cycles
        for window in cycle.windows
        if window.kind == "energy" and window.thermal
    ]
    told = {key: [one.get(key) for one in heat] for key in _CONDITIONS}
    told["idle_power_w"] = [c.metrics.get("idle_power_w") for c in side.cycles]
    told["warmup_iterations"] = [
        cycle.warmup.iterations for cycle in side.cycles if cycle.warmup
    ]
    means = {}
    for key, values in told.items():
        known = [value for value in values if value is not None]
        if known:
            means[key] = sum(known) / len(known)
    return means


def _asked(side: Side) -> dict[str, Any]:
    spec = side.experiment.spec
    model = {key: spec["model"].get(key) for key in _ASKED_OF_MODEL}
    return {**spec, "model": model}


def _ran(side: Side) -> dict[str, Any]:
    """By its first cycle, which all others were like."""
    if not side.cycles:
        return {}
    cycle = side.cycles[0]
    worker = {key: cycle.worker.get(key) for key in ("python", "packages")}
    return {
        "engine": cycle.engine,
        "worker": worker,
        "model": cycle.model,
        "effective": cycle.effective,
        "prompts": cycle.prompts,
    }


def _session(side: Side) -> dict[str, Any]:
    one = side.session
    meters = [[m.get("name"), m.get("version"), m.get("basis")] for m in one.meters]
    return {
        "plugin_version": one.plugin_version,
        "git": one.git,
        "order": one.order,
        "isolation": one.isolation,
        "seed": one.seed,
        "meters": meters,
        "carbon": one.carbon,
    }


def _unequal(
    group: Group, one: Mapping[str, Any], other: Mapping[str, Any]
) -> Iterator[Apart]:
    mine, its = dict(_leaves(one)), dict(_leaves(other))
    for key in {**mine, **its}:
        if mine.get(key) != its.get(key):
            yield Apart(group=group, key=key, first=mine.get(key), second=its.get(key))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each value by its path; lists of plain values are one value."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            if key not in _PASSING:
                yield from _leaves(one, f"{path}.{key}" if path else str(key))
    elif _is_table(value):
        for k, one in enumerate(value):
            yield from _leaves(one, f"{path}[{k}]")
    else:
        yield path, value


def _is_table(value: Any) -> bool:
    plain = isinstance(value, str) or not isinstance(value, Sequence)
    return not plain and any(isinstance(one, Mapping) for one in value)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else repr(value)
