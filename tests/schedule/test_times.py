"""When rounds are due, by clocks that change and in months that end."""

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.errors import ConfigError
from pytest_lem.schedule.times import Timetable, duration, time_of_day, weekdays

BERLIN = ZoneInfo("Europe/Berlin")


def rounds(begins, count, *, zone=UTC, **what):
    """The first rounds of a timetable, as its clock on the wall shows them."""
    table = Timetable(begins=datetime(*begins, tzinfo=zone), zone=zone, **what)
    found = [table.first()]
    while found[-1] is not None and len(found) < count:
        found.append(table.after(found[-1]))
    return [due and f"{due.astimezone(zone):%a %d %H:%M}" for due in found]


def test_a_round_a_day_begins_at_the_next_such_time():
    """Today where that is to come, else tomorrow; over the end of a month too."""
    assert rounds((2026, 4, 30, 1), 2, at=time(2)) == ["Thu 30 02:00", "Fri 01 02:00"]
    assert rounds((2026, 4, 30, 3), 1, at=time(2)) == ["Fri 01 02:00"]


def test_rounds_between_keep_the_time_of_day_when_clocks_change():
    """02:00 and every 6 h stays 02:00, 08:00 ...; what is left out comes later."""
    what = {"at": time(2, 30), "every": duration("6h")}
    told = rounds((2026, 3, 28, 19), 3, zone=BERLIN, **what)
    assert told == ["Sun 29 03:30", "Sun 29 08:30", "Sun 29 14:30"]


def test_an_hour_that_comes_twice_has_one_round():
    """In autumn 02:30 is twice on the wall, and once in the schedule."""
    told = rounds((2026, 10, 24, 12), 3, zone=BERLIN, at=time(2, 30))
    assert told == ["Sun 25 02:30", "Mon 26 02:30", "Tue 27 02:30"]


def test_without_a_time_of_day_the_first_is_at_once_and_distances_are_equal():
    """However the clock on the wall changes in between."""
    told = rounds((2026, 10, 25, 1), 4, zone=BERLIN, every=duration("1h"))
    assert told == ["Sun 25 01:00", "Sun 25 02:00", "Sun 25 02:00", "Sun 25 03:00"]


def test_days_that_are_not_named_have_no_round():
    """A schedule of the working week skips the weekend."""
    told = rounds((2026, 1, 2, 3), 2, at=time(2), days=weekdays("mon-fri"))
    assert told == ["Mon 05 02:00", "Tue 06 02:00"]


def test_no_round_begins_after_the_schedule_is_over():
    """--for is from the start of the command, not from the first round."""
    what = {"at": time(2), "lasting": duration("2d")}
    assert rounds((2026, 1, 1, 3), 9, **what) == ["Fri 02 02:00", "Sat 03 02:00", None]


@given(
    begins=st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)),
    at=st.none() | st.times(),
    every=st.timedeltas(timedelta(minutes=20), timedelta(days=9)),
    late=st.timedeltas(timedelta(0), timedelta(days=30)),
)
def test_a_round_is_never_due_twice_and_missed_ones_are_left_out(
    begins, at, every, late
):
    """Whatever moment is asked for, the answer lies behind it, and is but one."""
    table = Timetable(
        begins=begins.replace(tzinfo=BERLIN), zone=BERLIN, at=at, every=every
    )
    found = [table.first()]
    for _ in range(4):
        found.append(table.after(found[-1] + late))
    assert all(
        earlier + late < later <= earlier + late + every + timedelta(hours=2)
        for earlier, later in pairwise(found)
    )
    assert table.after(found[-1] - timedelta(microseconds=1)) == found[-1]


@pytest.mark.parametrize(
    ("read", "text", "told"),
    [
        (time_of_day, "24:00", "HH:MM"),
        (time_of_day, "2:60", "HH:MM"),
        (duration, "6", "6h"),
        (duration, "0h", "between 1s and 3660d"),
        (duration, "-1h", "no length of time"),
        (duration, "4w", "s, m, h or d"),
        (weekdays, "mon-frei", "'frei' is no day"),
        (weekdays, "", "'' is no day"),
    ],
)
def test_times_that_are_none_are_refused_with_what_is_one(read, text, told):
    """In one line, which has the text as it was written."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert told in caught.value.message
    assert repr(text) in caught.value.message


def test_lengths_and_days_are_read_as_people_write_them():
    """Units add up, and days may go over the end of a week."""
    assert duration("1h30m") == timedelta(minutes=90)
    assert weekdays("Sat-mon, wed") == {5, 6, 0, 2}
