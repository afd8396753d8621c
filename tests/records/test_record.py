"""The record's models: what they refuse, and what they keep."""

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pytest_lem.records.export import read_json, write_json
from pytest_lem.records.record import Cycle, Record, read


@pytest.fixture
def whole(make_cycle, make_window, make_record):
    """A report with a window, as plain JSON values."""
    cycle = make_cycle(windows=[make_window()], energy_gross_j=500.0)
    return json.loads(make_record([cycle]).model_dump_json())


def text(tree):
    return json.dumps(tree).encode()


def test_a_record_reads_back_as_it_was_written(make_cycle, make_record, tmp_path):
    """Nothing is lost or changed on the way."""
    record = make_record([make_cycle(0, energy_gross_j=0.1), make_cycle(1)])
    write_json(record, tmp_path / "r.json")
    assert read_json(tmp_path / "r.json") == record


def test_equal_records_are_equal_bytes(whole, tmp_path):
    """A report can be compared with `cmp`."""
    for name in ("a.json", "b.json"):
        write_json(read(text(whole)), tmp_path / name)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_report_written_bit_by_bit_is_the_record_as_json(whole, count, tmp_path):
    """To the byte: experiments one at a time in it are those of a record at once."""
    (one,) = whole["experiments"]
    odd = '\n  "experiments": [] \u2028\r\t\N{GREEK SMALL LETTER MU}'
    told = [{**one, "id": f"{odd} {k}"} for k in range(count)]
    session = {**whole["session"], "label": odd, "x_lab": {"experiments": []}}
    other = {"timeseries": {"experiments": [], "trace_path": odd}, "x_lab": {"a": odd}}
    record = read(text({**whole, **other, "experiments": told, "session": session}))
    write_json(record, tmp_path / "r.json")
    written = (tmp_path / "r.json").read_bytes()
    assert written == f"{record.model_dump_json(indent=2)}\n".encode()


PLACES = [
    (),
    ("session",),
    ("plan",),
    ("experiments", 0),
    ("experiments", 0, "summary", "energy_gross_j"),
    ("experiments", 0, "cycles", 0),
    ("experiments", 0, "cycles", 0, "windows", 0),
    ("experiments", 0, "cycles", 0, "windows", 0, "energy"),
    ("experiments", 0, "cycles", 0, "windows", 0, "tokens"),
]


def at(tree, place):
    for step in place:
        tree = tree[step]
    return tree


@pytest.mark.parametrize("place", PLACES)
def test_an_unknown_key_is_refused_at_every_level(whole, place):
    """A misspelt key is no data; the message says which it is."""
    at(whole, place)["energyy"] = 1
    with pytest.raises(ValidationError, match="unknown key 'energyy'"):
        read(text(whole))


@pytest.mark.parametrize("place", PLACES)
def test_groups_of_others_are_kept_under_x(whole, place):
    """Plugins may add what they like, by that name."""
    at(whole, place)["x_lab"] = {"room": 7}
    kept = json.loads(read(text(whole)).model_dump_json())
    assert at(kept, place)["x_lab"] == {"room": 7}
    assert kept == whole


@pytest.mark.parametrize("place", PLACES)
def test_a_missing_key_is_refused(whole, place):
    """Every key is always there; unknown is null."""
    part = at(whole, place)
    del part[next(key for key in part if key != "schema_version")]
    with pytest.raises(ValidationError, match="Field required"):
        read(text(whole))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["metrics", "load", "timing"])
def test_a_number_that_is_none_is_refused(make_cycle, bad, key):
    """NaN is not how a record says unknown."""
    with pytest.raises(ValidationError, match="finite number"):
        make_cycle(**{key: {"value": bad}})


def test_what_engines_tell_is_still_json(make_cycle):
    """NaN deep in an engine's own figures is written as null."""
    cycle = make_cycle(native={"loss": math.nan, "deep": [{"most": math.inf}]})
    line = cycle.model_dump_json()
    strict = json.loads(line, parse_constant=pytest.fail)
    assert strict["native"] == {"loss": None, "deep": [{"most": None}]}


@pytest.mark.parametrize("version", ["2.0", "4.0", "3", "30.1", "3.x", "", "3.-1", 3.0])
def test_another_schema_version_is_refused(whole, version):
    """Only 3.x is read here."""
    whole["schema_version"] = version
    with pytest.raises(ValidationError, match="schema_version"):
        read(text(whole))


def test_a_newer_major_version_is_refused_with_a_message(whole):
    """The reader is told what can be read."""
    whole["schema_version"] = "4.0"
    with pytest.raises(ValidationError, match=r"'4.0' cannot be read here, only 3.x"):
        read(text(whole))


def test_a_newer_minor_version_is_read_with_what_it_adds(whole):
    """Keys that a later version added are kept and do no harm."""
    whole["schema_version"] = "3.7"
    whole["novel"] = [1]
    whole["experiments"][0]["cycles"][0]["novel"] = {"a": 1}
    kept = json.loads(read(text(whole)).model_dump_json())
    assert kept == whole


@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b"null", b"\xff", b"{}"])
def test_what_is_no_report_is_refused(broken):
    """By one kind of error."""
    with pytest.raises(ValidationError):
        read(broken)


def test_a_record_cannot_be_changed(make_cycle):
    """What was measured stays."""
    with pytest.raises(ValidationError, match="frozen"):
        make_cycle().index = 2


numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@given(metrics=st.dictionaries(st.text(max_size=8), numbers, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_number_survives_the_way_through_json(make_cycle, metrics):
    """To the last bit."""
    cycle = make_cycle(metrics=metrics)
    assert Cycle.model_validate_json(cycle.model_dump_json()) == cycle


def test_the_version_is_written():
    """A reader need not guess."""
    assert Record.model_fields["schema_version"].default == "3.0"
