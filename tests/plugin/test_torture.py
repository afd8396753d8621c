"""Sessions that are killed, interrupted, out of disk; gone on with to the end."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_lem.records.record import Record

# Where asked to, dies in the midst of the n-th line that it appends to a plan.
CONFTEST = """
import os, signal
from pytest_lem.records import files
from pytest_lem.schedule import planfile

left = int(os.environ.get("DIE_WRITING", 0))

def append_line(path, line):
    global left
    left -= 1
    if left == 0:
        with path.open("ab") as file:
            file.write(line[: len(line) // 2])
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    files.append_line(path, line)

planfile.append_line = append_line
"""

SOURCE = """
import pytest

@pytest.mark.lem(input_tokens=8, output_tokens=4)
@pytest.mark.parametrize("batch_size", range(1, 13))
def test_it(lem, batch_size):
    assert lem().cycles
"""

GRID = """
base_config: {input_tokens: 8, output_tokens: 4}
vary: {batch_size: [1, 2, 3, 4]}
"""


class Campaign:
    """A project of twelve experiments, run and gone on with as often as it takes.

    Its experiments are tests of Python, or the four points of the `grid` of a file.
    """

    def __init__(self, project, backend, count=12, grid=None):
        self.folder = project.path
        with (self.folder / "conftest.py").open("a") as file:
            file.write(CONFTEST)
        name = "test_it.py::test_it[{0}-{1}]"
        if grid is None:
            project.makepyfile(test_it=SOURCE.replace("13", str(count + 1)))
        else:
            self.write(grid)
            name = "grid.lem.yaml::batch_size={1}[{0}]"
        self.ids = [name.format(backend, k) for k in range(1, count + 1)]
        self.command = [sys.executable, "-m", "pytest", f"--lem-backend={backend}"]
        self.command += ["--lem-cycles=2", "--lem-json=r.json", "-q"]
        self.environment = os.environ | {"LEM_CACHE_DIR": str(self.folder / "cache")}

    def write(self, grid):
        """Write the file of the grid."""
        (self.folder / "grid.lem.yaml").write_text(grid)

    def begin(self, **environment):
        """Start a session, or go on with the one there is."""
        sessions = [*(self.folder / ".lem" / "sessions").glob("*/plan.json")]
        resume = ["--lem-resume"] if sessions else []
        return subprocess.Popen(
            [*self.command, *resume],
            cwd=self.folder,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self):
        """Go on until there is nothing left; the last output."""
        for _ in range(3):
            session = self.begin()
            output, _ = session.communicate()
            if "no session below" in output:
                break
        return output

    def check(self):
        """Every cycle of every experiment counts once, with numbers as planned."""
        record = Record.model_validate_json((self.folder / "r.json").read_bytes())
        found = {e.id: [c.index for c in e.cycles] for e in record.experiments}
        assert found == dict.fromkeys(self.ids, found[self.ids[0]])
        assert {tuple(sorted(one)) for one in found.values()} == {(0, 1)}
        cycles = [cycle for one in record.experiments for cycle in one.cycles]
        assert {cycle.status for cycle in cycles} == {"complete"}
        assert all(w.tokens.output == 4 * w.requests for c in cycles for w in c.windows)
        ran = [one for one in record.plan.executed if one["status"] == "complete"]
        told = [(one["experiment_id"], one["cycle"]) for one in ran]
        assert sorted(told) == sorted((name, k) for name in self.ids for k in (0, 1))
        (folder,) = (self.folder / ".lem" / "sessions").iterdir()
        lines = (folder / "cycles.jsonl").read_text().splitlines()
        assert len(lines) == len(told)
        steps = json.loads((folder / "plan.json").read_text())["plan"]["steps"]
        planned = [(name, k) for k in (0, 1) for name in self.ids]
        assert [(one["experiment_id"], one["cycle"]) for one in steps] == planned
        assert {one["status"] for one in steps} == {"completed"}
        return told, planned


def worker_of(pid):
    """The guard of a session's worker; None where there is none."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    for child in children.read_text().split() if children.exists() else ():
        try:
            if "pytest_lem.worker" in Path(f"/proc/{child}/cmdline").read_text():
                return int(child)
        except OSError:
            continue
    return None


def kill(session, victim):
    """SIGKILL to pytest, to its worker, or to both."""
    worker = worker_of(session.pid)
    if victim in ("worker", "both") and worker is not None:
        os.kill(worker, signal.SIGKILL)
    if victim in ("pytest", "both"):
        session.kill()


def test_two_deaths_lose_nothing(project):
    """Killed while it runs and in the midst of a line of its plan: order as planned."""
    campaign = Campaign(project, "fake", count=4)
    for line in (4, 5):
        session = campaign.begin(DIE_WRITING=str(line))
        session.communicate()
        assert session.returncode == -signal.SIGKILL
    campaign.begin().communicate()
    told, planned = campaign.check()
    assert told == planned


def test_a_campaign_in_yaml_goes_on_after_its_death(project):
    """Each cycle counts once; a file that was changed meanwhile is another plan."""
    campaign = Campaign(project, "fake", count=4, grid=GRID)
    session = campaign.begin(DIE_WRITING="8")
    session.communicate()
    assert session.returncode == -signal.SIGKILL
    campaign.write(GRID.replace("output_tokens: 4", "output_tokens: 5"))
    output, _ = campaign.begin().communicate()
    assert f"{campaign.ids[0]}: output_tokens 5, was 4" in output
    campaign.write(GRID)
    (journal,) = project.path.glob(".lem/sessions/*/cycles.jsonl")
    assert len(journal.read_text().splitlines()) == 4
    campaign.begin().communicate()
    told, planned = campaign.check()
    assert told == planned


@pytest.mark.slow
def test_twenty_deaths_lose_nothing(project):
    """The real engine, killed at random: pytest, worker, both, or writing the plan."""
    campaign = Campaign(project, "transformers")
    chance = random.Random(20)
    for death in range(20):
        victim = chance.choice(["pytest", "worker", "both", "plan"])
        line = chance.randint(1, 6) if victim == "plan" else 0
        session = campaign.begin(DIE_WRITING=str(line))
        logs = ".lem/sessions/*/plan.log"
        while session.poll() is None and victim != "plan":
            if death % 4 == 0 or any(campaign.folder.glob(logs)):
                time.sleep(chance.uniform(0, 1.5))
                kill(session, victim)
                break
            time.sleep(0.02)
        session.communicate()
    campaign.finish()
    campaign.check()


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_interrupts_lose_nothing(project, times):
    """Ctrl-C once, and twice in a row, in a session with the real engine."""
    campaign = Campaign(project, "transformers")
    session = campaign.begin()
    while not any(campaign.folder.glob(".lem/sessions/*/cycles.jsonl")):
        assert session.poll() is None
        time.sleep(0.05)
    for _ in range(times):
        os.kill(session.pid, signal.SIGINT)
        time.sleep(0.2)
    session.communicate()
    # The second may come when pytest has done its work and Python ends.
    assert session.returncode in (pytest.ExitCode.INTERRUPTED, -signal.SIGINT)
    campaign.finish()
    told, planned = campaign.check()
    assert told == planned


@pytest.mark.slow
def test_a_full_disk_costs_one_cycle(project, run, report):
    """It is named, nothing more is begun, and the rest runs when there is room."""
    folder = project.path / ".lem"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=144k", "tmpfs", str(folder)]
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small file system here: {mounted.stderr.strip()}")
    try:
        result = run(SOURCE, "--lem-cycles=2", "--lem-json=r.json")
        result.stdout.fnmatch_lines(["*could not be written*No space left on device*"])
        assert result.ret == pytest.ExitCode.INTERRUPTED
        done = sum(len(one.cycles) for one in report().experiments)
        assert 0 < done < 24
        grown = ["mount", "-o", "remount,size=8m", str(folder)]
        subprocess.run(grown, check=True)
        result = run(None, "--lem-cycles=2", "--lem-json=r.json", "--lem-resume")
        result.assert_outcomes(passed=12)
        cycles = [c for one in report().experiments for c in one.cycles]
        assert [c.status for c in cycles] == ["complete"] * 24
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
