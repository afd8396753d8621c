"""Facts of an experiment as tables: settings, environment, cycles, what is missing."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_lem.records.record import Cycle
from pytest_lem.report.html.charts.figure import Cell
from pytest_lem.report.html.sections.section import Section, Table
from pytest_lem.report.html.view import Shown
from pytest_lem.report.html.words import number, short

_MOST = 400
_SETTINGS = ("setting", "requested", "effective", "origin")
_CYCLES = (
    *("cycle", "status", "began", "windows", "s", "J", "J/token", "tokens/s"),
    *("flags", "error"),
)


def settings(shown: Shown) -> Section:
    """What was asked for, what it became, who said so; then the rest of what ran."""
    one = shown.side.experiment
    effort = dict(_leaves(one.spec.get("effort") or {}))
    asked = {
        key: value
        for key, value in {**shown.parameters, **effort}.items()
        if not isinstance(value, Mapping)
    }
    asked |= _groups(shown.parameters)
    ran = dict(_leaves(one.effective))
    rows = [_setting(key, value, ran, one.provenance) for key, value in asked.items()]
    said = [row for row in rows if row[-1] != "default"]
    defaults = [row for row in rows if row[-1] == "default"]
    rest = [[key, _text(value)] for key, value in ran.items() if value is not None]
    return Section(
        key="settings",
        title="Settings",
        tables=[
            Table(told="What somebody said", columns=_SETTINGS, rows=said),
            Table(told="Defaults", columns=_SETTINGS, rows=defaults, folded=True),
            Table(told="As it ran", columns=("key", "value"), rows=rest, folded=True),
        ],
    )


def environment(shown: Shown) -> Section:
    """The machine, its software, and the meters."""
    side = shown.side
    ran = side.experiment.cycles
    about = {
        "session": side.session.id,
        "began": side.session.started_at,
        "command": " ".join(side.session.command),
        "git": side.session.git,
        "plugin": side.session.plugin_version,
        "engine": ran[-1].engine if ran else None,
        "worker": ran[-1].worker if ran else None,
        "meters": [_meter(one) for one in side.session.meters],
        "carbon": side.session.carbon,
        **side.environment,
    }
    rows = [[key, _text(value)] for key, value in _leaves(about) if value is not None]
    told, columns = "The machine and what ran on it", ("key", "value")
    table = Table(told=told, columns=columns, rows=rows, folded=True)
    return Section(key="environment", title="Environment", tables=[table])


def cycles(shown: Shown) -> Section:
    """Each cycle, also those that do not count, with why."""
    rows = [_cycle(one) for one in shown.side.experiment.cycles]
    if not rows:
        return Section(key="cycles", title="Cycles", missing="No cycle was run.")
    told = "In the order in which they ran; only complete ones count."
    return Section(
        key="cycles",
        title="Cycles",
        tables=[Table(told=told, columns=_CYCLES, rows=rows)],
    )


def missing(shown: Shown) -> Section:
    """Values that do not exist, each with the reason."""
    found = sorted(shown.nulls.items())
    rows = [[short(key), short(why, _MOST)] for key, why in found]
    if not rows:
        text = "Every value exists."
        return Section(key="missing", title="What is null, and why", missing=text)
    told, columns = "Values that do not exist", ("value", "reason")
    table = Table(told=told, columns=columns, rows=rows, folded=True)
    return Section(key="missing", title="What is null, and why", tables=[table])


def _setting(
    key: str, value: Any, ran: Mapping[str, Any], origins: Mapping[str, str]
) -> list[Cell]:
    name = key.rpartition(".")[2]
    found = next((ran[one] for one in (key, name) if one in ran), None)
    effective = "" if found is None else _text(found)
    asked = "unset" if value is None else _text(value)
    return [key, asked, effective, origins.get(key, "default")]


def _groups(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves of the settings that are groups; a group without any is unset."""
    found: dict[str, Any] = {}
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            found |= dict(_leaves(value, f"{key}.")) or {key: None}
    return found


def _cycle(one: Cycle) -> list[Cell]:
    attempt = f" (attempt {one.attempt})" if one.attempt else ""
    energy = one.metrics.get("energy_gross_j")
    return [
        f"{one.index}{attempt}",
        one.status,
        one.started_at,
        len(one.windows),
        number(one.metrics.get("duration_s")),
        number(energy),
        number(one.metrics.get("energy_per_output_token_j")),
        number(one.metrics.get("output_throughput_tps")),
        short(" ".join(one.flags), _MOST),
        "" if one.error is None else _error(one.error.kind, one.error.message),
    ]


def _error(kind: str, message: str) -> str:
    return short(f"{kind}: {message}", _MOST)


def _meter(one: Mapping[str, Any]) -> dict[str, Any]:
    """What it is; how its sampler did is in the record."""
    return {key: value for key, value in one.items() if key != "sampler"}


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each value by the path of its keys; lists of plain values are one."""
    pairs: Sequence[tuple[Any, Any]]
    if isinstance(tree, Mapping):
        pairs = list(tree.items())
    elif isinstance(tree, list) and any(map(_nested, tree)):
        pairs = list(enumerate(tree))
    else:
        yield prefix.removesuffix("."), tree
        return
    for key, value in pairs:
        yield from _leaves(value, f"{prefix}{short(key, 80)}.")


def _nested(value: Any) -> bool:
    return isinstance(value, (Mapping, list))


def _text(value: Any) -> str:
    """A value as people write it."""
    if isinstance(value, bool):
        return str(value).lower()
    plain = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return short(plain, _MOST)
