"""A table on the terminal, and how numbers stand in its cells."""

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_lem.analysis.stats import Summary
from pytest_lem.records.record import ExperimentRecord, SummaryRecord

if TYPE_CHECKING:
    from pytest_lem.store.wanted import Value

NONE = "-"
LEAST_WIDTH = 116
LEAST_NAME = 24
_LARGE = 1e7
GUESSES = {"estimated_energy", "replayed_energy", "synthetic_energy"}


def table(
    found: Sequence[Mapping[str, str]], width: int, *, name: str = "experiment"
) -> list[str]:
    """Rows as lines as wide as the terminal; numbers are never cut for it.

    The column `name` is of words, which are folded where there is no room.
    All rows have the columns of the first; one that is all dashes is left out.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = [key for key in found[0] if any(row[key] != NONE for row in found)]
    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for key in shown:
        words = key == name
        made.add_column(
            key,
            justify="left" if words else "right",
            overflow="fold",
            no_wrap=not words,
            min_width=LEAST_NAME if words else len(key),
        )
    for row in found:
        made.add_row(*(Text(row[key]) for key in shown))
    console = Console(file=io.StringIO(), width=10_000, color_system=None)
    made.columns[0].max_width = LEAST_NAME
    console.width = max(LEAST_WIDTH, width, console.measure(made).maximum)
    made.columns[0].max_width = None
    console.print(made)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().strip("\n").split("\n")]


def visible(text: str) -> str:
    """Text in which nothing acts on the terminal: what does not print is escaped."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Each experiment without its file's path, where no other has the same name."""
    short = {name: name.partition("::")[2] or name for name in names}
    taken = Counter(short.values())
    return {full: one if taken[one] == 1 else full for full, one in short.items()}


def mark(experiment: ExperimentRecord) -> str:
    """What stands before energy that nothing measured."""
    return "~" if GUESSES.intersection(experiment.flags) else ""


def figure(value: float, digits: int = 3) -> str:
    """A number to so many digits; with an exponent only where zeros would hide it."""
    short = f"{value:.{digits}g}"
    return f"{float(short):.0f}" if "e+" in short and abs(value) < _LARGE else short


def number(value: float | None) -> str:
    """A number to three digits; a dash where there is none."""
    return NONE if value is None else figure(value)


def probability(value: float | None) -> str:
    """A p to two digits; a dash where there is none."""
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else figure(value, 2)


def cell(one: "Summary | SummaryRecord | Value | None", sign: str) -> str:
    """A value with half its interval; a dash where there is none."""
    if one is None:
        return NONE
    return f"{sign}{figure(one.value, 4)}{spread(one.value, one.ci_low, one.ci_high)}"


def plain(one: SummaryRecord | None) -> str:
    """A value alone; a dash where there is none."""
    return NONE if one is None else figure(one.value, 4)


def spread(value: float, low: float | None, high: float | None) -> str:
    """Half the interval in percent of the value; nothing where there is none."""
    if low is None or high is None or not value:
        return ""
    percent = abs((high - low) / 2 / value) * 100
    return f" ±{percent:.1f} %" if percent < 10 else f" ±{percent:.0f} %"
