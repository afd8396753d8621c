"""What sending experiments to the nodes of a Ray cluster costs, over running them here.

    python benchmarks/perf/perf_cluster.py [--experiments 1000] [--json FILE]

So many experiments that do nothing (fake engine, no meter, one window) run in a process
here, then over nodes that are raylets of this machine. What the second takes longer by
the clock for each experiment is judged, and what it takes of the driver's processor,
which no node shares. Memory is read twice a second; what the driver's, and that of the
local session, grows by for each experiment after the first fifth is judged over what a
session of pytest alone grows by for each of as many empty tests, whose reports it
keeps. Needs `ray`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from paired import finish, judge_one, note, noted_load, wait_for_calm

MOST_MS, MOST_KB = 50.0, 10.0
SETTLED = 0.2
MB = 1024**2
INI = """
[pytest]
addopts = -p no:cacheprovider -p no:randomly
lem_backend = fake
lem_meter = none
lem_idle = off
lem_warmup = off
lem_windows = 1
lem_cycles = 1
lem_max_runs = 1000000
lem_set =
    fake.prefill_s=0
    fake.token_s=0
"""
TEST = """
import pytest

@pytest.mark.lem(input_tokens=1, output_tokens=1)
@pytest.mark.parametrize("seed", range({count}))
def test_nothing(lem, seed):
    lem()
"""

LOOK = """
from pathlib import Path

done = 0

def kb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(one.split()[1] for one in lines if one.startswith("VmRSS"))

def pytest_runtest_logfinish():
    global done
    done += 1
    if done == {first}:
        Path("kb.txt").write_text(kb())

def pytest_sessionfinish():
    Path("kb.txt").write_text(Path("kb.txt").read_text() + " " + kb())
"""
EMPTY = """
import pytest

@pytest.mark.parametrize("seed", range({count}))
def test_nothing(seed):
    pass
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Seconds from the first cycle on disk to the last, and of the whole session.

    Of each experiment `cpu_ms` is what it took of the driver's processor, `growth_kb`
    what its resident memory grew by, `journal_bytes` and `report_bytes` are on disk.
    """

    steady_s: float
    whole_s: float
    growth_kb: float
    most_mb: float
    cpu_ms: float
    journal_bytes: float
    report_bytes: float


def session(folder: Path, count: int, *arguments: str, **variables: str) -> Run:
    """Run the project once, looking on twice a second."""
    command = [sys.executable, "-m", "pytest", "-q", "--lem-json=r.json", *arguments]
    began_s = time.monotonic()
    looks: list[tuple[float, int, float]] = []
    ticks = [0.0]
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        while process.poll() is None:
            looks.append(_look(folder, process.pid))
            ticks.append(_cpu_s(process.pid) or ticks[-1])
            time.sleep(0.5)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{(folder / 'output').read_text()}")
    lines, size = _journal(folder)
    first = next(at_s for at_s, done, _ in looks if done)
    last = next((at_s for at_s, done, _ in looks if done >= count), looks[-1][0])
    settled = [one for one in looks if SETTLED * count <= one[1] < count]
    grown = settled[-1][1] - settled[0][1]
    return Run(
        steady_s=last - first,
        whole_s=time.monotonic() - began_s,
        growth_kb=(settled[-1][2] - settled[0][2]) / max(grown, 1),
        cpu_ms=1e3 * ticks[-1] / count,
        most_mb=max(kb for _, _, kb in looks) / 1024,
        journal_bytes=size / max(lines, 1),
        report_bytes=(folder / "r.json").stat().st_size / count,
    )


def empty_kb(folder: Path, count: int) -> float:
    """The KB that pytest alone grows by for each test, after the first fifth."""
    folder.mkdir()
    (folder / "test_it.py").write_text(EMPTY.format(count=count))
    (folder / "conftest.py").write_text(LOOK.format(first=int(SETTLED * count)))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:lem"]
    command += ["-p", "no:cacheprovider", "-p", "no:randomly"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    first, *_, last = map(float, (folder / "kb.txt").read_text().split())
    return (last - first) / (count - int(SETTLED * count))


def _look(folder: Path, pid: int) -> tuple[float, int, float]:
    """When, how many cycles are on disk, and the KB that the process has."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        lines = []
    kb = next((float(one.split()[1]) for one in lines if one.startswith("VmRSS")), 0.0)
    return time.monotonic(), _journal(folder)[0], kb


def _cpu_s(pid: int) -> float:
    """Seconds of processor of that process alone; 0 where it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    user, system = stat[stat.rindex(")") + 2 :].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _journal(folder: Path) -> tuple[int, int]:
    """Cycles in the driver's journal, and its bytes; nodes have scratch ones."""
    paths = (folder / ".lem").glob("sessions/*/cycles.jsonl")
    content = max((one.read_bytes() for one in paths), key=len, default=b"")
    return content.count(b"\n"), len(content)


def project(folder: Path, count: int) -> Path:
    """A folder with so many experiments."""
    folder.mkdir()
    (folder / "pytest.ini").write_text(INI)
    (folder / "test_it.py").write_text(TEST.format(count=count))
    return folder


def over_nodes(folder: Path, count: int, nodes: int) -> Run:
    """The session over a cluster that lives for it."""
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 80 * MB}
    cluster = Cluster(
        initialize_head=True, head_node_args={**small, "include_dashboard": False}
    )
    try:
        for _ in range(nodes - 1):
            cluster.add_node(**small)
        return session(
            folder,
            count,
            "--lem-launch=ray",
            RAY_ADDRESS=cluster.address,
            RAY_USAGE_STATS_ENABLED="0",
        )
    finally:
        cluster.shutdown()


def main() -> int:
    """Measure, show, and say by the exit status whether the limits hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=1000, help="default: 1000")
    parser.add_argument("--nodes", type=int, default=3, help="default: 3")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    count = asked.experiments
    with tempfile.TemporaryDirectory() as name:
        wait_for_calm()
        noted_load()
        alone_kb = empty_kb(Path(name) / "alone", count)
        note(f"{count} experiments here")
        here = session(project(Path(name) / "here", count), count)
        note(f"{count} experiments over {asked.nodes} nodes")
        wait_for_calm()
        noted_load()
        there = over_nodes(project(Path(name) / "there", count), count, asked.nodes)
    more_ms = 1e3 * (there.steady_s - here.steady_s) / count
    return finish(
        [
            judge_one("more for an experiment", more_ms, unit="ms", limit=MOST_MS),
            judge_one(
                "driver's processor for one", there.cpu_ms, unit="ms", limit=MOST_MS
            ),
            *(
                judge_one(
                    f"growth for one {where}, over pytest's own",
                    run.growth_kb - alone_kb,
                    unit="KB",
                    limit=MOST_KB,
                )
                for where, run in (("here", here), ("in the driver", there))
            ),
        ],
        facts={
            "experiments": count,
            "nodes": asked.nodes,
            "alone_growth_kb": round(alone_kb, 3),
            **{
                f"{side}_{key}": round(value, 3)
                for side, run in (("here", here), ("there", there))
                for key, value in (
                    ("ms_each", 1e3 * run.steady_s / count),
                    ("whole_s", run.whole_s),
                    ("growth_kb", run.growth_kb),
                    ("most_mb", run.most_mb),
                    ("driver_cpu_ms", run.cpu_ms),
                    ("journal_bytes", run.journal_bytes),
                    ("report_bytes", run.report_bytes),
                )
            },
        },
        samples={"here_s": [here.steady_s], "there_s": [there.steady_s]},
        path=asked.json,
    )


if __name__ == "__main__":
    sys.exit(main())
