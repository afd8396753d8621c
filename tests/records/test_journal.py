"""The journal keeps every cycle from the moment it is told."""

import json
import signal
import subprocess
import sys

from pytest_lem.records.journal import Journal
from pytest_lem.records.record import Cycle

WRITER = """
import sys
from pathlib import Path
from pytest_lem.records.journal import Journal
from pytest_lem.records.record import Cycle
cycle = Cycle.model_validate_json(Path(sys.argv[2]).read_bytes())
journal = Journal(Path(sys.argv[1]))
index = 0
while True:
    journal.append("t.py::test", "f00", cycle.model_copy(update={"index": index}))
    print(index, flush=True)
    index += 1
"""


def test_each_cycle_is_a_line_of_json(tmp_path, make_cycle):
    """With the experiment that it belongs to, in the order of appending."""
    journal = Journal(tmp_path / "deep" / "session")
    cycles = [make_cycle(k, energy_gross_j=k / 3) for k in range(3)]
    for cycle in cycles:
        journal.append('t.py::test["ü\n"]', "0123456789abcdef", cycle)
    lines = journal.path.read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    assert {entry["experiment_id"] for entry in entries} == {'t.py::test["ü\n"]'}
    assert {entry["identity"] for entry in entries} == {"0123456789abcdef"}
    assert [Cycle.model_validate(entry["cycle"]) for entry in entries] == cycles


def test_a_journal_goes_on_where_one_was(tmp_path, make_cycle):
    """Nothing that is on the disk is ever overwritten."""
    for k in range(2):
        Journal(tmp_path).append("a", "f00", make_cycle(k))
    assert len((tmp_path / "cycles.jsonl").read_text("utf-8").splitlines()) == 2


def test_a_killed_session_loses_no_cycle_that_was_told(tmp_path, make_cycle):
    """After SIGKILL every line that was acknowledged is there and whole."""
    example = tmp_path / "cycle.json"
    example.write_text(make_cycle(native={"text": "x" * 50_000}).model_dump_json())
    command = [sys.executable, "-c", WRITER, str(tmp_path), str(example)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        told = [int(writer.stdout.readline()) for _ in range(20)]
        writer.send_signal(signal.SIGKILL)
        told += [int(line) for line in writer.stdout]
    *lines, last = (tmp_path / "cycles.jsonl").read_text("utf-8").split("\n")
    found = [json.loads(line)["cycle"]["index"] for line in lines]
    assert found[: len(told)] == told
    assert len(found) <= len(told) + 1
    assert last == "" or len(found) == len(told)
