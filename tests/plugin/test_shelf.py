"""Sessions whose earlier cycles are on disk alone."""

import pytest

# Cycles of all experiments but the last one asked for are read back from the journal.
NO_ROOM = "\nfrom pytest_lem.records import shelf\nshelf.ROOM_BYTES = 0\n"

SOURCE = """
from pathlib import Path
import pytest

@pytest.mark.lem
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_it(lem, batch_size, note):
    note(batch_size)
    result = lem()
    if batch_size == 3 and len(result.cycles) == SPOILED_AT:
        (journal,) = Path(".lem/sessions").glob("*/cycles.jsonl")
        lines = journal.read_text().splitlines(keepends=True)
        journal.write_text("".join(["x" + lines[0], *lines[1:]]))
"""


@pytest.fixture
def spoiled(run, extend):
    """Run three experiments of three cycles, and spoil the first line after a pass."""

    def spoiled(at):
        extend(NO_ROOM)
        options = ("--lem-order=interleaved", "--lem-cycles=3", "--lem-json=r.json")
        return run(SOURCE.replace("SPOILED_AT", f"{at}"), "--lem-csv=r.csv", *options)

    return spoiled


def test_passes_pool_what_is_on_disk_alone(spoiled, report, notes):
    """Each cycle is in its result and in the reports, once and in order."""
    spoiled(0).assert_outcomes(passed=3)
    assert notes() == ["1", "2", "3"] * 3
    found = report().experiments
    assert [[one.index for one in it.cycles] for it in found] == [[0, 1, 2]] * 3
    assert all(one.summary["duration_s"].n == 3 for one in found)


def test_a_cycle_that_cannot_be_read_back_fails_its_test(spoiled, report, notes):
    """By name; the others are measured, and reported."""
    result = spoiled(1)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["*StoreError: *cycles.jsonl, in which the session's cycles are: a line is *"]
    )
    assert notes() == ["1", "2", "3", "1", "2", "3", "2", "3"]
    assert [one.id[-2:] for one in report().experiments] == ["2]", "3]"]
    result.stdout.fnmatch_lines(["*fake-1? is in no report: *cycles.jsonl*"])


def test_reports_without_a_result_are_no_success(spoiled, report):
    """What is lost after the last test has passed is named all the same."""
    result = spoiled(3)
    result.assert_outcomes(passed=3)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*fake-1? is in no report: *cycles.jsonl*"])
    assert len(report().experiments) == 2
