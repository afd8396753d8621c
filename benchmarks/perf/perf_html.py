"""How large the page of 1,000 experiments is, how long it takes to make and to show.

    python benchmarks/perf/perf_html.py [--experiments 1000] [--json FILE]

Measures one experiment with the embedded default on this machine, and makes a report of
1,000 such, of five cycles each, whose numbers all differ by some percent. The first
paint is what a headless Chromium tells of itself; without one it is not timed.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paired import Verdict, finish, judge, note

from pytest_lem.records.export import read_json
from pytest_lem.records.record import ExperimentRecord, Record
from pytest_lem.report.html.page import write_report

SIZE_MB = 12.0
MAKE_S = 20.0
PAINT_S = 3.0
CYCLES = 5
MAKES = 3
PAINTS = 5
SPREAD = 0.02
SUITE = """
import pytest

@pytest.mark.lem(batch_size=4, windows=3, cycles=1, warmup="fixed:2")
def test_it(lem):
    lem()
"""
PAINTED = """
() => performance.getEntriesByName("first-contentful-paint").map((one) => one.startTime)
"""


def measured(folder: Path) -> Record:
    """The report of a real run of one experiment."""
    (folder / "test_it.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "test_it.py", "--lem-json=r.json"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return read_json(folder / "r.json")


def varied(value: Any, draw: random.Random) -> Any:
    """The same with all of its fractions changed by some percent."""
    if isinstance(value, dict):
        return {key: varied(one, draw) for key, one in value.items()}
    if isinstance(value, list):
        return [varied(one, draw) for one in value]
    if isinstance(value, float):
        return value * (1 + draw.gauss(0, SPREAD))
    return value


def multiplied(one: ExperimentRecord, count: int) -> Iterator[ExperimentRecord]:
    """As many experiments, of several batch sizes, whose cycles all differ."""
    draw = random.Random(0)  # noqa: S311 - repeatable, no secret
    told = one.model_dump()
    (cycle,) = told["cycles"]
    for number in range(count):
        cycles = [varied(cycle, draw) | {"index": k} for k in range(CYCLES)]
        workload = told["spec"]["workload"] | {"batch_size": 1 + number % 8}
        name = {"id": f"{one.id}[{number}]", "identity": f"{number:016x}"}
        spec = told["spec"] | {"workload": workload}
        rest = varied({"summary": told["summary"], "extended": told["extended"]}, draw)
        made = told | rest | name | {"cycles": cycles, "spec": spec}
        yield ExperimentRecord.model_validate(made)


def made_s(record: Record, path: Path) -> list[float]:
    """How long each of some makings of the page took."""
    found = []
    for _ in range(MAKES):
        began_s = time.perf_counter()
        write_report(record, path)
        found.append(time.perf_counter() - began_s)
    return found


def painted_s(path: Path, chromium: str) -> list[float]:
    """How long after it was asked for the page was there to be seen, each time anew."""
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as started:
        for _ in range(PAINTS):
            browser = started.chromium.launch(
                executable_path=chromium, args=["--no-sandbox"]
            )
            page = browser.new_page()
            page.goto(path.as_uri())
            (painted_ms,) = page.evaluate(PAINTED)
            found.append(painted_ms / 1e3)
            browser.close()
    return found


def main() -> int:
    """Measure, make, open, and say by the exit status whether the limits hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=1000, help="default: 1000")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    chromium = os.environ.get("LEM_CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "r.html"
        note("one experiment is measured")
        one = measured(Path(name))
        note(f"{arguments.experiments} experiments are made of it")
        many = list(multiplied(one.experiments[0], arguments.experiments))
        record = one.model_copy(update={"experiments": many})
        samples = {"made": made_s(record, path)}
        size_mb = path.stat().st_size / 1e6
        verdicts: list[Verdict] = [
            judge("size of the page", [size_mb], unit="MB", limit=SIZE_MB),
            judge("making the page", samples["made"], unit="s", limit=MAKE_S),
        ]
        if chromium is None:
            note("Chromium is not installed: the first paint is not timed")
        else:
            samples["painted"] = painted_s(path, chromium)
            verdicts.append(
                judge("first paint", samples["painted"], unit="s", limit=PAINT_S)
            )
    facts = {"experiments": arguments.experiments, "cycles": CYCLES}
    return finish(verdicts, facts=facts, samples=samples, path=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
