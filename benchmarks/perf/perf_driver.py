"""What a driver pays for a result: reading it, keeping it, and the reports at the end.

    python benchmarks/perf/perf_driver.py [--cycles 10000] [--json FILE]

A session with the fake engine gives one cycle as a real one writes it. So many copies
are put into a journal that is flushed to the disk each time, read back from it five at
a time as a session that has ended does, and written as JSON and CSV; the growth of
memory is told. docs/scale.md reads the figures to a thousand GPUs.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from paired import machine

from pytest_lem.records.assemble import found_in
from pytest_lem.records.export import csv_report, json_report, read_json
from pytest_lem.records.journal import Journal
from pytest_lem.records.long import LongRecord
from pytest_lem.records.record import Cycle, ExperimentRecord, Record
from pytest_lem.records.shelf import Shelf

TEST = """
import pytest

@pytest.mark.lem(input_tokens=8, output_tokens=8, batch_size=4, requests=16)
def test_it(lem):
    lem()
"""
EACH = 5


def one_session(folder: Path) -> Record:
    """The report of a session of one experiment."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["--lem-backend=fake", "--lem-meter=fake", "--lem-warmup=fixed:3"]
    command += [
        "--lem-idle=off",
        "--lem-windows=3",
        f"--lem-cycles={EACH}",
        "--lem-json=r.json",
    ]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return read_json(folder / "r.json")


def many(record: Record, directory: Path, cycles: int) -> LongRecord:
    """The same with so many cycles, in experiments of other names, from a journal."""
    (one,) = record.experiments
    shelf = Shelf(Journal(directory))
    for k in range(cycles // EACH):
        for cycle in one.cycles:
            told = cycle.model_copy(update={"index": k})
            shelf.put(f"test_it.py::test_it[{k}]", "0" * 16, told)

    def experiments() -> Iterator[ExperimentRecord]:
        for name in shelf:
            yield one.model_copy(update={"id": name, **found_in(shelf[name])})

    return LongRecord(record, experiments)


def timed(work: object, times: int) -> float:
    """Milliseconds for each of so many calls."""
    assert callable(work)
    start_s = time.perf_counter()
    for _ in range(times):
        work()
    return 1e3 * (time.perf_counter() - start_s) / times


def peak_mb() -> float:
    """The most memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def now_mb() -> float:
    """The memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        record = one_session(folder)
        cycle = record.experiments[0].cycles[0]
        text = cycle.model_dump_json()
        journal = Journal(folder / "journal")
        before_mb = peak_mb()
        kept = [Cycle.model_validate_json(text) for _ in range(1000)]
        kept_kb = 1024 * (peak_mb() - before_mb) / len(kept)
        del kept
        few = 300
        found = {
            "cycle_bytes": len(text),
            "read_ms": timed(lambda: Cycle.model_validate_json(text), few),
            "journal_ms": timed(lambda: journal.append("t", "0" * 16, cycle), few),
            "kept_kb": kept_kb,
        }
        start_s = time.perf_counter()
        whole = many(record, folder / "many", asked.cycles)
        found["all_kept_s"] = time.perf_counter() - start_s
        before_mb = now_mb()
        for kind, report in (("json", json_report), ("csv", csv_report)):
            path = folder / f"report.{kind}"
            start_s = time.perf_counter()
            with report(whole.head, path) as take:
                for one in whole:
                    take(one)
            found[f"{kind}_s"] = time.perf_counter() - start_s
            found[f"{kind}_mb"] = path.stat().st_size / 1e6
            found[f"{kind}_growth_mb"] = now_mb() - before_mb
        start_s = time.perf_counter()
        os.sync()
        found |= {"sync_s": time.perf_counter() - start_s, "peak_mb": peak_mb()}
    told = {**machine(), "cycles": asked.cycles, **found}
    for key, value in told.items():
        print(f"{key}: {value:.3f}" if isinstance(value, float) else f"{key}: {value}")
    if asked.json is not None:
        asked.json.write_text(json.dumps(told, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
