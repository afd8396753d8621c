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
