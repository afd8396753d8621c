"""When the rounds of a schedule are due: a timetable, and the times that people write.

Nothing here waits or asks what time it is: who does gives the moment.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

from pytest_lem.errors import ConfigError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = timedelta(days=3660)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """The moments at which rounds are due; all moments know their time zone.

    With `at` they go by the clock on the wall: each day at that time or, with `every`,
    from there on at that distance, so that 02:00 and 08:00 stay so when clocks change.
    A time that the clocks leave out is the moment as far behind their change as it
    should have been; one that comes twice counts the first time. Without `at` the
    first round is due at once, and the others at equal distances. None begins later
    than `lasting` after `begins`, or on a day that is not among `days` (Monday is 0).
    """

    begins: datetime
    zone: tzinfo
    at: time | None = None
    every: timedelta | None = None
    lasting: timedelta | None = None
    days: frozenset[int] = frozenset(range(7))

    def after(self, moment: datetime) -> datetime | None:
        """The first moment later than this one at which one is due, if there is one."""
        moment, begins = moment.astimezone(UTC), self.begins.astimezone(UTC)
        for due in self._all(moment, begins):
            if self.lasting is not None and due - begins > self.lasting:
                return None
            if due > moment and due.astimezone(self.zone).weekday() in self.days:
                return due
        return None

    def first(self) -> datetime | None:
        """The first moment at which one is due; None where there is none."""
        return self.after(self.begins - timedelta(microseconds=1))

    def _all(self, moment: datetime, begins: datetime) -> Iterator[datetime]:
        """Every due moment in order, from shortly before this one on, whatever day.

        In UTC: Python takes the difference of two moments of one zone on its wall.
        """
        if self.at is None:
            assert self.every is not None
            for k in _from(_steps(begins, moment, self.every), self.every):
                yield begins + k * self.every
            return
        apart = self.every or timedelta(days=1)
        start = begins.astimezone(self.zone).replace(tzinfo=None)
        anchor = datetime.combine(start.date(), self.at)
        if anchor < start:
            anchor += timedelta(days=1)
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        for k in _from(_steps(anchor, local, apart), apart):
            yield _on_the_wall(anchor + k * apart, self.zone)


def _steps(start: datetime, moment: datetime, apart: timedelta) -> int:
    """How many steps lie for certain behind a moment, however clocks changed."""
    return max((moment - start - timedelta(days=1)) // apart, 0)


def _from(first: int, apart: timedelta) -> range:
    """Steps for two years at most: in any of them each day of the week comes."""
    return range(first, first + timedelta(days=732) // apart + 1)


def _on_the_wall(local: datetime, zone: tzinfo) -> datetime:
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


def duration(text: str) -> timedelta:
    """`6h`, `90m`, `1h30m`, `3d`; raises ConfigError where it is none."""
    parts = re.findall(r"(\d+)([smhd])", text)
    if not parts or "".join(n + unit for n, unit in parts) != text:
        raise ConfigError(
            f"{text!r} is no length of time: write a number and s, m, h or d, as in 6h "
            "or 1h30m"
        )
    seconds = sum(int(number) * _UNITS[unit] for number, unit in parts)
    if not 0 < seconds <= _LONGEST.total_seconds():
        raise ConfigError(f"{text!r} is not between 1s and {_LONGEST.days}d")
    return timedelta(seconds=seconds)


def time_of_day(text: str) -> time:
    """`02:00`, by 24 hours; raises ConfigError where it is none."""
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?", text)
    if found is None:
        raise ConfigError(
            f"{text!r} is no time of day: write HH:MM from 00:00 to 23:59"
        )
    hour, minute, second = (int(part or 0) for part in found.groups())
    return time(hour, minute, second)


def weekdays(text: str) -> frozenset[int]:
    """`mon-fri,sun`: the days as numbers from 0; raises ConfigError for others."""
    found: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = part.strip().partition("-")
        begin, end = _day(first, text), _day(last if dash else first, text)
        found |= {k % 7 for k in range(begin, end + (7 if end < begin else 0) + 1)}
    return frozenset(found)


def _day(name: str, text: str) -> int:
    if name.strip() not in DAYS:
        raise ConfigError(
            f"{text!r}: {name.strip()!r} is no day: write {', '.join(DAYS)}, or "
            "mon-fri,sun"
        )
    return DAYS.index(name.strip())
