"""What `lem trace` tells: the energy of spans of a recorded trace."""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.meters.energy import EnergyReading
from pytest_lem.meters.trace import Mark, Trace, mark_of, refuse
from pytest_lem.meters.trace.recount import Recount

NONE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recounted:
    """A mark, and what was drawn in it; `several` where more than one device counts."""

    mark: Mark
    reading: EnergyReading
    several: bool

    @property
    def power_w(self) -> float | None:
        """Mean power over the span."""
        if self.reading.gross_j is None:
            return None
        return self.reading.gross_j / (self.mark.end_s - self.mark.start_s)

    def to_json(self) -> dict[str, Any]:
        """Plain values, with what else the mark says of itself in `about`."""
        mark, reading = self.mark, self.reading
        told: dict[str, Any] = {
            "name": mark.name,
            "start_s": mark.start_s,
            "end_s": mark.end_s,
            "energy_j": reading.gross_j,
            "uncertainty_j": reading.uncertainty_j,
            "power_w": self.power_w,
            "method": reading.method,
            "flags": reading.flags,
            "reason": reading.reason,
        }
        if mark.about:
            told["about"] = dict(mark.about)
        if self.several:
            told["per_device"] = reading.per_device
        return told


def recounted(trace: Trace, marks: Iterable[Mark]) -> Iterator[Recounted]:
    """The energy of each mark."""
    recount = Recount(trace)
    for mark in marks:
        yield Recounted(
            mark=mark,
            reading=recount.energy(mark.start_s, mark.end_s, mark.devices),
            several=len(trace.tracks) > 1,
        )


def spans(lines: Iterable[str], source: str) -> list[Mark]:
    """The spans of JSON lines; raises ConfigError with the line that is none."""
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(mark_of(json.loads(line, parse_constant=refuse)))
        except json.JSONDecodeError as error:
            raise ConfigError(f"{source} line {number} is no JSON ({error})") from error
        except ValueError as error:
            raise ConfigError(f"{source} line {number} {error}") from error
    return found


def table(found: Sequence[Recounted], width: int) -> str:
    """The same as a table of that width, or as wide as it has to be."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [_row(one) for one in found]
    shown = [key for key in COLUMNS if any(row[key] for row in rows)]
    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for key in shown:
        words = key in ("span", "experiment", "method", "flags")
        made.add_column(
            key,
            justify="left" if words else "right",
            no_wrap=key not in ("experiment", "flags"),
            overflow="fold",
        )
    for row in rows:
        made.add_row(*(Text(row[key]) for key in shown))
    console = Console(file=io.StringIO(), width=10_000, color_system=None)
    console.width = max(width, console.measure(made).minimum)
    console.print(made)
    assert isinstance(console.file, io.StringIO)
    told = console.file.getvalue().strip("\n").split("\n")
    return "\n".join(line.rstrip() for line in told)


COLUMNS = (
    "span",
    "experiment",
    "start s",
    "s",
    "J",
    "± J",
    "W",
    "method",
    "flags",
)


def _row(one: Recounted) -> dict[str, str]:
    mark, reading, about = one.mark, one.reading, one.mark.about
    window = f" {about['window']}" if "window" in about else ""
    cycle = f" cycle {about['cycle']}" if "cycle" in about else ""
    missing = None if reading.reason is None else f"({reading.reason})"
    return {
        "span": f"{mark.name or NONE}{window}",
        "experiment": f"{about['experiment']}{cycle}" if "experiment" in about else "",
        "start s": f"{mark.start_s:.3f}",
        "s": f"{mark.end_s - mark.start_s:.4g}",
        "J": _number(reading.gross_j),
        "± J": _number(reading.uncertainty_j),
        "W": _number(one.power_w),
        "method": missing or reading.method or NONE,
        "flags": " ".join(reading.flags),
    }


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.4g}"
