"""Requests that fail, as a user sees them: table, record, CSV, and the cycle's end."""

import csv

SOURCE = """
import pytest

@pytest.mark.lem(requests=8, request_timeout_s=0.02)
def test_it(lem):
    lem()
"""


def test_requests_that_failed_are_shown_and_written(run, project, report):
    """By kind, with the first error; the number of those sent stays."""
    result = run(
        SOURCE,
        "--lem-json=r.json",
        "--lem-csv=r.csv",
        '--lem-set=fake.faults=["stall"]',
        "-o",
        "lem_max_failed=20",
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "Requests that failed*",
            "*sent*completed*timeout*first error*",
            "*test_it*16*14*2*ended at request_timeout_s=0.02*",
            "flag *failed_requests: *",
        ]
    )
    (experiment,) = report().experiments
    assert experiment.extended["requests"]["completed"] == 14
    assert "failed_requests" in experiment.flags
    (row,) = csv.DictReader((project.path / "r.csv").open())
    assert (row["requests_sent"], row["requests_timeout"]) == ("16", "2")


def test_where_none_failed_nothing_is_said_of_it(run, report):
    """Neither a table nor a flag; the record has the counts."""
    result = run(SOURCE.replace("0.02", "60.0"), "--lem-json=r.json")
    result.stdout.no_fnmatch_line("Requests that failed*")
    (experiment,) = report().experiments
    assert experiment.cycles[0].windows[0].outcomes["completed"] == 8
    assert "failed_requests" not in experiment.flags


def test_a_cycle_with_too_many_failures_says_how_many(run, report):
    """The experiment has failed, and is told why in one line."""
    result = run(SOURCE, "--lem-json=r.json", '--lem-set=fake.faults=["error"]')
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*1 of 8 requests failed (1 engine_error)*lem_max_failed allows 5 %*"]
    )
    (cycle,) = report().experiments[0].cycles
    assert (cycle.status, cycle.error.kind) == ("failed", "generation")
