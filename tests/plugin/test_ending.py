"""The end of a session: what is made of many experiments, one at a time."""

import csv

import pytest

SOURCE = """
import pytest

@pytest.mark.lem
@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 5, 6])
def test_it(lem, batch_size):
    lem()
"""

# How many records of experiments are in memory when each is shown.
COUNTED = """
import gc
from pytest_lem.records.record import ExperimentRecord

def pytest_lem_record(record, item):
    gc.collect()
    alive = [one for one in gc.get_objects() if type(one) is ExperimentRecord]
    with open("alive.txt", "a") as file:
        file.write(f"{record.id} {len({one.id for one in alive})}\\n")
"""


@pytest.mark.parametrize("workers", [None, 2])
def test_few_records_are_in_memory_at_a_time(extend, project, report, workers):
    """One, and what is left of those before, whatever is written of them."""
    extend(COUNTED)
    options = ["--lem-json=r.json", "--lem-csv=r.csv", "--lem-csv-cycles=c.csv"]
    options += ["--lem-store=s.db", f"-n{workers}" if workers else "-v"]
    project.makepyfile(test_it=SOURCE)
    # In this process pytester would keep what hooks are called with.
    project.runpytest_subprocess(*options).assert_outcomes(passed=6)
    told = (project.path / "alive.txt").read_text().splitlines()
    alive = {name: int(count) for name, count in (one.split() for one in told)}
    assert max(alive.values()) <= 3
    names = [f"test_it.py::test_it[fake-{k}]" for k in range(1, 7)]
    assert sorted(alive) == names
    assert [one.id for one in report().experiments] == names
    with (project.path / "r.csv").open(newline="") as file:
        assert [row["experiment_id"] for row in csv.DictReader(file)] == names
    with (project.path / "c.csv").open(newline="") as file:
        assert len([*csv.DictReader(file)]) == 12


def test_the_verdicts_of_a_suite_are_in_every_report(run, project, report):
    """Each experiment has its own, which only all of them together decide."""
    run(SOURCE, "--lem-json=old.json").assert_outcomes(passed=6)
    options = ("--lem-compare=old.json", "--lem-json=r.json", "--lem-csv=r.csv")
    result = run(SOURCE, *options, "--lem-allow-incomparable=work")
    result.assert_outcomes(passed=6)
    verdicts = [one.gate["verdict"] for one in report().experiments]
    assert verdicts == ["inconclusive"] * 6
    with (project.path / "r.csv").open(newline="") as file:
        assert [row["verdict"] for row in csv.DictReader(file)] == verdicts


def test_a_report_that_cannot_be_written_keeps_no_other_from_it(run, project, report):
    """It is named; nothing of it is left beside."""
    source = f"{SOURCE}    __import__('pathlib').Path('r.csv').mkdir(exist_ok=True)\n"
    result = run(source, "--lem-json=r.json", "--lem-csv=r.csv")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["report *r.csv could not be written: *"])
    assert len(report().experiments) == 6
    assert not [*project.path.glob(".*.part")]
