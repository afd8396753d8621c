"""The table of experiments: its columns, cells, and by what it is narrowed."""

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.report.html.view import Shown
from pytest_lem.report.html.words import half_width, in_order, number, short, title

_METRICS = (
    "energy_per_output_token_j",
    "energy_per_output_token_net_j",
    "output_throughput_tps",
    "ttft_p50_ms",
    "itl_p50_ms",
    "e2e_p50_ms",
    "avg_power_w",
    "memory_peak_mb",
)
_MOST_CHOICES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: a fact by its key, or a metric, whose cells are numbers."""

    key: str
    title: str
    unit: str = ""
    metric: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What stands in a cell, and what it is sorted by; `half` is its interval.

    `guessed` is what a number rests on that was not measured.
    """

    text: str
    sort: str | float | None
    half: str = ""
    guessed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """A fact by which experiments are chosen, and what it is."""

    key: str
    title: str
    choices: Sequence[str]


def columns(shown: Sequence[Shown]) -> list[Column]:
    """Those in which something stands; facts that are all alike are left out."""
    found = [
        Column(key=key, title=key)
        for key in ("session", *_PARAMETERS)
        if len({_fact(one, key) for one in shown}) > 1
    ]
    found += [
        Column(key=name, title=title(name), unit=METRICS[name].unit, metric=True)
        for name in _METRICS
        if any(one.has(name) for one in shown)
    ]
    found.append(Column(key="cycles", title="cycles"))
    if any(one.verdict for one in shown):
        found.append(Column(key="verdict", title="verdict"))
    if any(one.flags for one in shown):
        found.append(Column(key="flags", title="flags"))
    return found


_PARAMETERS = (
    *("backend", "model", "precision", "gpu", "gpus", "batch_size"),
    *("input_tokens", "output_tokens", "concurrency", "arrivals"),
)


def row(one: Shown, shown: Sequence[Column]) -> list[Cell]:
    """The cells of an experiment."""
    return [_metric(one, c.key) if c.metric else _plain(one, c.key) for c in shown]


def facets(shown: Sequence[Shown]) -> list[Facet]:
    """Facts in which experiments differ, as long as one may choose among them."""
    found = []
    for key in ("session", *_PARAMETERS, "verdict", "flags"):
        told = {value for one in shown for value in values(one, key)}
        if 1 < len(told) <= _MOST_CHOICES:
            found.append(Facet(key=key, title=key, choices=sorted(told, key=in_order)))
    return found


def values(one: Shown, key: str) -> list[str]:
    """What an experiment has of a facet; of flags it has several."""
    if key == "flags":
        return [short(flag) for flag in one.flags]
    return [_fact(one, key) or "-"]


def _fact(one: Shown, key: str) -> str:
    if key in ("session", "verdict"):
        told = one.label or one.session if key == "session" else one.verdict
    elif key == "gpus":
        told = str(one.gpus) if one.gpus else ""
    elif key in ("model", "precision", "gpu", "backend"):
        told = getattr(one, key)
    else:
        value = one.parameters.get(key)
        told = "" if value is None else str(value)
    return short(told or "", 80)


def _plain(one: Shown, key: str) -> Cell:
    if key == "cycles":
        failed = f" ({one.failed} failed)" if one.failed else ""
        return Cell(text=f"{one.cycles}{failed}", sort=one.cycles)
    if key == "flags":
        return Cell(text=str(len(one.flags) or ""), sort=len(one.flags))
    text = _fact(one, key)
    by = in_order(text)
    return Cell(text=text, sort=text if by[0] == float("inf") else by[0])


def _metric(one: Shown, name: str) -> Cell:
    if not one.has(name):
        return Cell(text="", sort=None)
    found = one.numbers[name]
    return Cell(
        text=number(found.value),
        sort=found.value,
        half=half_width(found.low, found.high),
        guessed="" if found.kind == "measured" else found.kind,
    )
