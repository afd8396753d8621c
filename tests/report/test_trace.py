"""`lem trace`: the energy of spans of a recorded trace, told anew."""

import json
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from pytest_lem.errors import MeterError
from pytest_lem.meters.trace import read_trace, whole_trace

TRACE = Path(__file__).parents[1] / "data" / "h100_llm_trace.json.gz"


def lem_trace(*arguments, stdin=""):
    return subprocess.run(
        [sys.executable, "-m", "pytest_lem.cli", "trace", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def objects(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def counter(count, watts, start_s=5.0):
    return [
        [start_s + k * 0.1, start_s + k * 0.1 + 0.002, 1e6 + 100 * watts * k]
        for k in range(count)
    ]


def write(path, **trace):
    path.write_text(json.dumps(trace))
    return path


def test_every_mark_is_told_as_the_timeline_has_it():
    """To the last bit, and all of them: the first begins before the first edge."""
    timeline, marks = whole_trace(TRACE), read_trace(TRACE).marks
    told = objects(lem_trace(TRACE, "--json"))
    assert [one["name"] for one in told] == [mark.name for mark in marks]
    for one in told:
        span = timeline.energy(one["start_s"], one["end_s"])
        assert one["energy_j"] == span.energy_j
        assert one["uncertainty_j"] == span.uncertainty_j
        assert one["power_w"] == span.power_w
        assert (one["method"], one["flags"]) == (span.method, [*span.flags])
        assert one["reason"] is None
    assert told[6]["about"] == {"batch": 8, "input_tokens": 128, "output_tokens": 128}


def test_parts_of_a_span_add_up_to_it():
    """Spans on standard input that partition a span have its energy together."""
    draw = random.Random(3)
    cuts = sorted([60.0, 150.0, *(draw.uniform(60, 150) for _ in range(50))])
    lines = [json.dumps([60.0, 150.0]), *map(json.dumps, pairwise(cuts))]
    whole, *parts = objects(
        lem_trace(TRACE, "--windows=-", "--json", stdin="\n".join(lines))
    )
    assert sum(one["energy_j"] for one in parts) == pytest.approx(
        whole["energy_j"], rel=1e-12
    )


def test_spans_may_be_objects_with_names(tmp_path):
    """Both spellings of the ends, beside plain pairs and empty lines."""
    spans = tmp_path / "spans.jsonl"
    spans.write_text(
        '[60, 61]\n\n{"name": "a", "start_s": 61, "end_s": 62}\n'
        '{"name": "b", "start": 62, "end": 62, "why": 1}\n'
    )
    told = objects(lem_trace(TRACE, "--windows", spans, "--json"))
    assert [one["name"] for one in told] == [None, "a", "b"]
    assert told[1]["energy_j"] == pytest.approx(149, abs=3)
    assert (told[2]["energy_j"], told[2]["power_w"]) == (None, None)
    assert told[2]["reason"] == "empty_span: gpu:0"
    assert told[2]["about"] == {"why": 1}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[60]", "is no span"),
        ("[60, 61, 62]", "is no span"),
        ('{"start_s": 60}', "is no span"),
        ('["60", 61]', "is no span"),
        ("[true, 61]", "is no span"),
        ("[60, NaN]", "NaN is no number"),
        ("60, 61", "is no JSON"),
        ('{"start": 1, "end": 2, "devices": "cpu"}', "are no list"),
    ],
)
def test_a_bad_line_is_told_with_its_number(line, told):
    """Nothing is printed but one line, and the exit code is that of bad usage."""
    done = lem_trace(TRACE, "--windows=-", stdin=f"[60, 61]\n\n{line}\n[61, 62]\n")
    assert done.returncode == 2
    assert done.stdout == ""
    (error,) = done.stderr.splitlines()
    assert "line 3" in error
    assert told in error


def test_what_is_no_trace_is_told_in_one_line(tmp_path):
    """A file of something else ends with exit code 2 and no traceback."""
    done = lem_trace(write(tmp_path / "x.json", cycles=[]))
    assert done.returncode == 2
    (error,) = done.stderr.splitlines()
    assert "is no trace; it needs `counter`" in error


def test_devices_are_summed_and_told_apart(tmp_path):
    """GPUs add up, the CPU stands beside them, and a mark may name those that count."""
    trace = write(
        tmp_path / "t.json",
        devices=[
            {"id": "GPU-a", "counter": counter(30, 100)},
            {"id": "GPU-b", "counter": counter(30, 300, start_s=5.04)},
            {
                "id": "cpu:0",
                "scope": "cpu",
                "meter": "rapl",
                "refresh_s": 0.001,
                "reads": [[5 + k * 0.1, 5 + k * 0.1, k * 5000] for k in range(30)],
            },
        ],
        marks=[
            {"name": "all", "start": 6.0, "end": 7.0},
            {"name": "one", "start": 6.0, "end": 7.0, "devices": ["GPU-b"]},
            {"name": "cpu", "start": 6.0, "end": 7.0, "devices": ["cpu"]},
            {"name": "gone", "start": 6.0, "end": 7.0, "devices": ["GPU-c"]},
        ],
    )
    told = {one["name"]: one for one in objects(lem_trace(trace, "--json"))}
    powers = [told[name]["power_w"] for name in ("all", "one", "cpu")]
    assert powers == pytest.approx([400, 300, 50])
    apart = {row["device"]: row["energy_j"] for row in told["all"]["per_device"]}
    assert apart == pytest.approx({"GPU-a": 100, "GPU-b": 300, "cpu:0": 50})
    assert told["gone"]["reason"] == "not_metered: GPU-c"


def test_the_table_is_for_people():
    """A header, and a row for each span with its power or the reason."""
    done = lem_trace(TRACE, "--windows=-", stdin="[108, 110]\n[0, 1]\n")
    assert done.returncode == 0
    head, _, row, *missing = done.stdout.strip("\n").splitlines()
    columns = ["span", "start s", "s", "J", "± J", "W", "method", "flags"]
    assert head.split() == " ".join(columns).split()
    assert row.split()[1:3] == ["108.000", "2"]
    assert float(row.split()[5]) == pytest.approx(698, rel=0.01)
    assert "not_covered" in " ".join(missing)


@pytest.mark.parametrize(
    ("device", "told"),
    [
        ({"counter": counter(5, 100), "scope": "tpu"}, "scope 'tpu'"),
        ({"counter": counter(5, 100), "basis": "sure"}, "basis 'sure'"),
        ({"counter": counter(5, 100), "boundary": "rack"}, "boundary 'rack'"),
        ({"counter": counter(5, 100), "refresh_s": "no"}, "refresh_s"),
        ({"reads": [[2, 2, 1], [1, 1, 2]]}, "`reads` rows out of order"),
        ({"power": [[1, 1, 1]]}, "is no trace"),
        ({"ring": [[1, 1], [2, None]]}, "`ring` rows"),
        ({"ring": [[1, 1], [2, 2]], "violation_fields": [5]}, "violation_fields"),
        ({"ring": [[1, 1], [2, 2]], "violation_fields": [[]]}, "violation_fields"),
        ({"counter": counter(2, 9), "ring": [[1, 1], [2, 2]]}, "three or more"),
        ("GPU-a", "is no trace"),
    ],
)
def test_a_bad_device_is_told(tmp_path, device, told):
    """Whatever is wrong with it is said in one line that names the file."""
    path = write(tmp_path / "t.json", devices=[device])
    with pytest.raises(MeterError, match=told) as caught:
        read_trace(path)
    assert str(path) in str(caught.value)


def test_two_devices_of_one_name_are_refused(tmp_path):
    """Their energies could not be told apart."""
    device = {"id": "GPU-a", "counter": counter(5, 100)}
    path = write(tmp_path / "t.json", devices=[device, device])
    with pytest.raises(MeterError, match="two devices 'GPU-a'"):
        read_trace(path)
