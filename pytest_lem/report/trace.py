"""What `lem trace` tells: the energy of spans of a recorded trace."""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.meters.energy import EnergyReading
from pytest_lem.meters.recount import Recount
from pytest_lem.meters.trace import Mark, Trace, mark_of, refuse

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
    """The same as a table of that width."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    made.add_column("span", overflow="fold")
    for name in ("start s", "s", "J", "± J", "W"):
        made.add_column(name, justify="right", no_wrap=True)
    for name in ("method", "flags"):
        made.add_column(name, overflow="fold")
    for one in found:
        made.add_row(*map(Text, _cells(one)))
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(made)
    assert isinstance(console.file, io.StringIO)
    told = console.file.getvalue().strip("\n").split("\n")
    return "\n".join(line.rstrip() for line in told)


def _cells(one: Recounted) -> list[str]:
    mark, reading = one.mark, one.reading
    return [
        _name(mark),
        f"{mark.start_s:.3f}",
        f"{mark.end_s - mark.start_s:.4g}",
        _number(reading.gross_j),
        _number(reading.uncertainty_j),
        _number(one.power_w),
        reading.method or NONE if reading.reason is None else f"({reading.reason})",
        " ".join(reading.flags),
    ]


def _name(mark: Mark) -> str:
    """The name, and where in a session it belongs."""
    about = mark.about
    words = [mark.name or NONE]
    words += [str(about[key]) for key in ("window",) if key in about]
    if "experiment" in about:
        words.append(f"{about['experiment']}#{about.get('cycle', 0)}")
    return " ".join(words)


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.4g}"
