"""`--lem-launch=ray` from the front door, on real clusters of Ray on this machine."""

import pytest

pytestmark = pytest.mark.slow
pytest.importorskip("ray")

SOURCE = """
import pytest

@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_it(lem, batch_size):
    result = lem()
    assert result.output_throughput_tps > 0
    assert batch_size < 3

def test_plain():
    pass
"""


def test_a_node_measures_and_the_driver_reports(cluster, drive, project, report):
    """One report, JUnit and plan, as of one process."""
    cluster(1)
    result = drive("--lem-json=r.json", "--junitxml=j.xml", "-v", source=SOURCE)
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*PASSED * token/s *, 2 cycles*"])
    found = report()
    assert [one.id[-8:] for one in found.experiments] == [
        f"[fake-{size}]" for size in (1, 2, 3)
    ]
    assert found.session.status == "complete"


def test_what_is_chosen_and_planned_is_what_one_process_would_run(
    cluster, drive, project
):
    """A plan asks no node for anything; there is none when it is made."""
    project.makepyfile(test_it=SOURCE)
    chosen = ("-k", "fake-1 or fake-3")
    told = [
        [line for line in run("--lem-plan", *chosen).outlines if "  cycle " in line]
        for run in (project.runpytest_subprocess, drive)
    ]
    assert len(told[0]) == 4
    assert told[0] == told[1]
    cluster(1)
    result = drive(*chosen)
    result.assert_outcomes(passed=1, failed=1, deselected=2)
