"""`--lem-retries`: what may pass by itself is tried again, and nothing else is."""

import pytest

# Dies, or fails, in as many first generations as its file says.
ENGINE = """
import os
from pathlib import Path
from pytest_lem.engines.fake import FakeEngine
from pytest_lem.errors import from_kind

class Shaky(FakeEngine):
    def run(self, *arguments, **keywords):
        path = Path(__file__).with_name("bad.txt")
        left, kind = path.read_text().split()
        if int(left):
            path.write_text(f"{int(left) - 1} {kind}")
            if kind == "worker_died":
                os._exit(3)
            raise from_kind(kind, "a bad start")
        return super().run(*arguments, **keywords)
"""

CONFTEST = """
from pytest_lem.measure import retrying

retrying.FIRST_S = 0.01

def pytest_lem_register_engines(registry):
    from pytest_lem.engines.registry import EngineEntry
    registry.add(EngineEntry(name="shaky", target="shaky_engine:Shaky"))
"""

SOURCE = """
import pytest

@pytest.mark.lem
def test_it(lem, note):
    note("body")
    assert lem().output_throughput_tps.n == 1
"""


@pytest.fixture
def shaky(project, run, extend, monkeypatch):
    """Run the test on an engine whose first `bad` generations fail of a kind."""

    def shaky(bad, kind, *arguments):
        extend(CONFTEST)
        project.makepyfile(shaky_engine=ENGINE)
        (project.path / "bad.txt").write_text(f"{bad} {kind}")
        ini = (project.path / "pytest.ini").read_text()
        (project.path / "pytest.ini").write_text(ini.replace("fake.", "shaky."))
        options = ("--lem-backend=shaky", "--lem-cycles=1", "--lem-json=r.json")
        return run(SOURCE, *options, *arguments)

    return shaky


def test_a_worker_that_died_is_started_again(shaky, report, notes, journal):
    """Within the one run of the body; every try is in report and journal."""
    shaky(2, "worker_died", "--lem-retries=2").assert_outcomes(passed=1)
    assert notes() == ["body"]
    record = report()
    (one,) = record.experiments
    told = [(c.attempt, c.status, c.error and c.error.kind) for c in one.cycles]
    assert told == [
        (0, "rerun", "worker_died"),
        (1, "rerun", "worker_died"),
        (2, "complete", None),
    ]
    assert "cycle_rerun" in one.flags
    assert [one["attempt"] for one in record.plan.executed] == [0, 1, 2]
    assert [line["cycle"]["status"] for line in journal()] == [t[1] for t in told]


@pytest.mark.parametrize(
    ("kind", "retries", "statuses"),
    [
        ("worker_died", 1, ["rerun", "failed"]),
        ("out_of_memory", 3, ["failed"]),
    ],
)
def test_the_last_try_fails_as_ever(shaky, report, kind, retries, statuses):
    """When tries are used up, or another could not end otherwise."""
    result = shaky(9, kind, f"--lem-retries={retries}")
    result.assert_outcomes(failed=1)
    cycles = report().experiments[0].cycles
    assert [one.status for one in cycles] == statuses
    assert {one.error.kind for one in cycles} == {kind}
