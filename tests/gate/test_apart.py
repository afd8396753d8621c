"""`lem diff`: all in which two runs of an experiment differ."""

import json

import pytest
from typer.testing import CliRunner

from pytest_lem.cli import app
from pytest_lem.gate.apart import apart
from pytest_lem.gate.side import sides
from pytest_lem.records.export import write_json
from pytest_lem.spec.workload import Workload


@pytest.fixture
def told(make_report):
    """What differs between a run and the same with changes: group, key and values."""

    def told(**changed):
        (first,), (second,) = (
            sides(make_report([1.0], **one)) for one in ({}, {"day": 2, **changed})
        )
        return [(a.group, a.key, a.first, a.second) for a in apart(first, second)]

    return told


def test_equal_runs_of_two_days_differ_in_nothing(told):
    """Times and session numbers always do, and say nothing."""
    assert told() == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            {"workload": Workload(output_tokens=7)},
            ("asked", "workload.output_tokens", 128, 7),
        ),
        (
            {"engine": {"name": "vllm", "version": "1"}},
            ("ran", "engine.version", "0.30.0", "1"),
        ),
        (
            {"effective": {"precision": "float16", "graphs": True}},
            ("ran", "effective.graphs", None, True),
        ),
        (
            {"gpu": {"name": "H100", "driver_version": "1", "power_limit_w": 700.0}},
            ("machine", "gpu[0].driver_version", "580.1", "1"),
        ),
        ({"flags": ["starved"]}, ("flags", "starved", False, True)),
    ],
)
def test_what_differs_is_told_by_its_path_with_both_values(told, changed, expected):
    """And nothing but it."""
    assert told(**changed) == [expected]


def test_conditions_differ_where_they_are_a_hundredth_apart(make_report):
    """Means of all energy windows: a clock that fell, and one that hardly did."""

    def heated(day, sm_mhz, memory_mhz):
        report = make_report([1.0, 1.0], day=day).model_dump()
        for cycle in report["experiments"][0]["cycles"]:
            cycle["windows"][0]["thermal"] = {
                "sm_clock_mean_mhz": sm_mhz,
                "memory_clock_mean_mhz": memory_mhz,
                "temperature_max_c": None,
            }
        return next(sides(type(make_report([1.0])).model_validate(report)))

    (found,) = apart(heated(1, 1980.0, 2619.0), heated(2, 1500.0, 2620.0))
    assert str(found) == "sm_clock_mean_mhz: 1980 -> 1500"
    assert found.group == "conditions"


def test_the_command_tells_numbers_first_and_then_group_by_group(make_report, tmp_path):
    """For people and as JSON; reports without a common experiment are refused."""
    slow = {"engine": {"name": "vllm", "version": "1"}, "flags": ["starved"]}
    reports = (
        make_report([1.0, 1.01]),
        make_report([1.2, 1.21], day=2, **slow),
        make_report([1.0], name="t.py::other", identity="other"),
    )
    paths = [str(tmp_path / f"{k}.json") for k in range(3)]
    for path, report in zip(paths, reports, strict=True):
        write_json(report, tmp_path / path)
    done = CliRunner().invoke(app, ["diff", *paths[:2]])
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "t.py::test"
    assert lines[1].startswith("  energy_per_output_token_j: second over first 1.2 (")
    assert lines[2:] == [
        "  what ran:",
        "    engine.version: '0.30.0' -> '1'",
        "  flags:",
        "    starved: False -> True",
    ]
    told = json.loads(CliRunner().invoke(app, ["diff", *paths[:2], "--json"]).stdout)
    assert [one["group"] for one in told["apart"]] == ["ran", "flags"]
    same = CliRunner().invoke(app, ["diff", paths[0], paths[0]])
    assert "nothing else differs" in same.stdout
    assert CliRunner().invoke(app, ["diff", paths[0], paths[2]]).exit_code == 2
