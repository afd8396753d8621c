"""`lem export --as` services of CI: by their schemas, and by their readers."""

import json
import re
import shutil
import subprocess
import sys

import jsonschema
import pytest
from typer.testing import CliRunner

from pytest_lem.cli import app
from pytest_lem.records.export import write_json

ENERGY = "energy_per_output_token_j"
SPEED = "output_throughput_tps"
TTFT = "ttft_p50_ms"
NAME = "t.py::TestIt::test_it[vllm-1]"
# As on https://bencher.dev/docs/reference/bencher-metric-format.
BENCHER = {
    "$schema": "http://json-schema.org/draft-07/schema",
    "type": "object",
    "patternProperties": {
        ".+": {
            "type": "object",
            "patternProperties": {
                ".+": {
                    "type": "object",
                    "properties": {
                        "value": {"type": "number"},
                        "lower_value": {"type": "number"},
                        "upper_value": {"type": "number"},
                    },
                    "required": ["value"],
                }
            },
        }
    },
}
# What github-action-benchmark (src/extractRangeInfo.ts) takes of a range.
RANGE = re.compile(r"(\+-|±)\s*(\d.*)")


@pytest.fixture
def export(tmp_path, make_report):
    """Export a report of a measured, an estimated and a timed experiment."""
    measured = make_report([1.0, 2.0, 3.0], name=NAME)
    others = [
        make_report([5.0], name="t.py::test_guess", flags=["estimated_energy"]),
        make_report([20.0, 30.0], name="t.py::test_time", metric=TTFT),
        make_report([50.0, 100.0], name="t.py::test_speed", metric=SPEED),
    ]
    experiments = [one for r in (measured, *others) for one in r.experiments]
    path = tmp_path / "r.json"
    write_json(measured.model_copy(update={"experiments": experiments}), path)

    def export(service, *options):
        arguments = ["export", str(path), "--as", service, *map(str, options)]
        return CliRunner().invoke(app, arguments)

    return export


def test_bencher_gets_measures_with_their_intervals(export):
    """Null values are left out and counted, and so is what nothing measured."""
    done = export("bencher")
    tree = json.loads(done.stdout)
    jsonschema.validate(tree, BENCHER)
    one = tree[NAME][ENERGY]
    assert one["lower_value"] < one["value"] == 2.0 < one["upper_value"]
    assert {name: list(measures) for name, measures in tree.items()} == {
        NAME: [ENERGY],
        "t.py::test_time": [TTFT],
        "t.py::test_speed": [SPEED],
    }
    assert f"left out 2 of 4: {ENERGY} is null: no" in done.stderr
    assert f"left out 1 of 4: {ENERGY} is estimated: --all takes it" in done.stderr


def test_a_guess_that_is_asked_for_has_a_name_of_its_own(export):
    """No service ever draws it into the line of what was measured."""
    tree = json.loads(export("bencher", "--all").stdout)
    assert tree["t.py::test_guess"] == {f"estimated_{ENERGY}": {"value": 5.0}}


def test_the_action_gets_values_of_one_direction(export):
    """With half the interval as it reads it, and the flags to look at."""
    done = export("github-action-benchmark", "--all")
    assert "tool: customSmallerIsBetter" in done.stderr
    first, guess, time = json.loads(done.stdout)
    assert (first["name"], first["unit"], first["value"]) == (
        f"{NAME} {ENERGY}",
        "J/token",
        2.0,
    )
    assert float(RANGE.search(first["range"])[2]) == pytest.approx(2.484, abs=1e-3)
    assert guess["name"] == f"t.py::test_guess estimated_{ENERGY}"
    assert "flags: estimated_energy" in guess["extra"]
    assert (time["unit"], time["value"]) == ("ms", 25.0)
    done = export("github-action-benchmark", "--metric", SPEED)
    assert "tool: customBiggerIsBetter" in done.stderr
    assert [one["value"] for one in json.loads(done.stdout)] == [75.0]


def test_pytest_benchmark_reads_costs_in_seconds(export, tmp_path):
    """Its own command compares them, each metric in a group that names the unit."""
    out = tmp_path / "0001_x.json"
    assert export("pytest-benchmark", "-o", out).stdout == ""
    found = {one["fullname"]: one for one in json.loads(out.read_text())["benchmarks"]}
    energy = found[f"{NAME} {ENERGY}"]
    assert (energy["name"], energy["param"]) == (f"test_it[vllm-1] {ENERGY}", "vllm-1")
    assert energy["stats"]["data"] == [1.0, 2.0, 3.0]
    assert found["t.py::test_time ttft_p50_s"]["stats"]["mean"] == 0.025
    speed = found[f"t.py::test_speed 1/{SPEED}"]
    assert speed["stats"]["data"] == [0.02, 0.01]
    assert speed["extra_info"]["lem"]["unit"] == "s/token"
    shutil.copy(out, tmp_path / "0002_x.json")
    compare = (sys.executable, "-m", "pytest_benchmark", "compare")
    done = subprocess.run(
        [*compare, out, tmp_path / "0002_x.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"benchmark '{ENERGY} [J/token]': 2 tests" in done.stdout
    assert f"benchmark '1/{SPEED} [s/token]': 2 tests" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("bencher", "--metric", "energy"), "metric 'energy' is unknown; did you mean"),
        (("bencher", "--metric", "mfu"), "nothing to export; left out 4 of 4: mfu is"),
        (
            ("github-action-benchmark", "--metric", SPEED, "--metric", TTFT),
            f"{TTFT} is better low and {SPEED} is better high",
        ),
        (("bencher", "--stamps", "."), "--as bencher tells no times: no --stamps"),
        (("vllm", "--metric", TTFT), "--as vllm has metrics of its own"),
    ],
)
def test_what_no_service_could_use_is_refused_in_one_line(export, arguments, told):
    """A metric that is none, of another direction, or of another tool."""
    done = export(*arguments)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert told in done.stderr
