"""`lem compare`: equal work side by side, or what differs."""

import csv
import json

import pytest
from typer.testing import CliRunner

from pytest_lem.cli import app

SOURCE = """
import pytest

@pytest.mark.lem
@pytest.mark.parametrize("output_tokens", [4, 8])
def test_it(lem, output_tokens):
    lem()
"""
CONFTEST = """
from pytest_lem.engines.fake import FakeEngine

def pytest_lem_register_engines(registry):
    from pytest_lem.engines.registry import EngineEntry
    target = "pytest_lem.engines.fake:FakeEngine"
    registry.add(EngineEntry(name="double", target=target))
"""
OPTIONS = (
    "--lem-meter=fake:100 --lem-idle=off --lem-windows=2 --lem-warmup=off "
    "--lem-cycles=2 -p no:randomly --lem-set=double.token_s=0.02 "
    "--lem-set=fake.token_s=0.01 --lem-set=fake.prefill_s=0.01 "
    "--lem-set=double.prefill_s=0.02 --lem-set=input_tokens=8"
)


@pytest.fixture(scope="module")
def measured():
    """The report of two backends, which is measured once."""
    return {}


@pytest.fixture
def reports(pytester, measured):
    """A report of two backends, and one of each."""
    path = pytester.path / "both.json"
    if not measured:
        pytester.makepyfile(test_it=SOURCE)
        pytester.makeconftest(CONFTEST)
        options = [
            *OPTIONS.split(),
            "--lem-backend=fake,double",
            "--lem-json=both.json",
        ]
        pytester.runpytest_inprocess(*options).assert_outcomes(passed=4)
        measured["both"] = path.read_bytes()
    path.write_bytes(measured["both"])
    whole = json.loads(measured["both"])
    for name in ("fake", "double"):
        kept = [one for one in whole["experiments"] if one["spec"]["backend"] == name]
        path = pytester.path / f"{name}.json"
        path.write_text(json.dumps({**whole, "experiments": kept}))
    return pytester.path


@pytest.fixture
def change(reports):
    """Write a report anew with its experiments changed."""

    def change(name, edit):
        path = reports / name
        whole = json.loads(path.read_bytes())
        for one in whole["experiments"]:
            edit(one)
        path.write_text(json.dumps(whole))

    return change


def compare(*paths, by="backend"):
    arguments = ["compare", *map(str, paths), "--by", by]
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("names", [["both.json"], ["fake.json", "double.json"]])
def test_equal_work_is_compared_lengths_apart(reports, names):
    """In one report or two: the slower script costs twice as much, for each length."""
    paths = [reports / name for name in names]
    done = compare(*paths)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.count("~2 (2 to 2)") == 2
    told = CliRunner().invoke(
        app, ["compare", *map(str, paths), "--by=backend", "--json"]
    )
    found = [json.loads(line) for line in told.stdout.splitlines()]
    assert [one["backends"] for one in found] == [["fake", "double"]] * 2
    assert [one["ratio"]["value"] for one in found] == pytest.approx([2.0, 2.0])
    assert [len(values) for values in found[0]["values"]] == [2, 2]
    products = [found[0]["products"][name]["value"] for name in ("edp_js", "ed2p_js2")]
    assert products == pytest.approx([4.0, 8.0])
    header = done.stdout.splitlines()[2]
    assert header.endswith("EDP ratio   ED2P ratio")


def _prompts(one):
    one["cycles"][0]["windows"][1]["token_sha256"] = "f" * 64


def _lengths(one):
    one["cycles"][0]["prompts"]["lengths"] = {"output": {"sha256": "abc"}}


def _recipe(one):
    one["cycles"][0]["prompts"]["recipe_sha256"] = "other"


def _outputs(one):
    one["cycles"][1]["windows"][0]["tokens"]["output"] += 1


def _weights(one):
    one["cycles"][0]["model"]["fingerprint"] = {"synthetic": "llama-tiny", "seed": 7}


def _precision(one):
    one["cycles"][0]["effective"]["precision"] = {"compute": "float16"}


def _no_energy(one):
    for cycle in one["cycles"]:
        cycle["metrics"]["energy_per_output_token_j"] = None


@pytest.mark.parametrize(
    ("edit", "difference"),
    [
        (_prompts, "cycle 0, window 1: prompts "),
        (_recipe, "recipe of prompts "),
        (_lengths, "lengths of answers None and 'abc'"),
        (_outputs, "cycle 1, window 0: output tokens "),
        (_weights, "fingerprint "),
        (_precision, "precision None and {'compute': 'float16'}"),
        (_no_energy, "double has no energy_per_output_token_j"),
    ],
)
def test_unequal_work_is_refused_by_what_differs(reports, change, edit, difference):
    """No ratio is shown beside it."""
    change("double.json", edit)
    done = compare(reports / "fake.json", reports / "double.json")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert f"test_it[fake-4] and test_it.py::test_it[double-4]: {difference}" in (
        done.stderr
    )


def test_what_was_never_asked_alike_is_told_by_the_nearest_pair(reports, change):
    """Other lengths, or another model, are no comparison."""
    change("fake.json", lambda one: one["spec"]["workload"].update(input_tokens=9))
    done = compare(reports / "fake.json", reports / "double.json")
    assert done.exit_code == 2
    assert done.stderr.endswith("input_tokens 9 and 8\n")


def test_streamed_energy_is_held_against_no_other(reports, change):
    """Neither what was asked to stream, nor what ran on the object for that."""

    def on(way):
        return lambda one: one["cycles"][0]["effective"].update(entry_point=way)

    change("fake.json", on("LLM"))
    change("double.json", on("LLM"))
    done = compare(reports / "fake.json", reports / "double.json")
    assert (done.exit_code, done.stdout.count("double (LLM)")) == (0, 2)
    change("double.json", on("AsyncLLM"))
    done = compare(reports / "fake.json", reports / "double.json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "[double-4]: entry_point 'LLM' and 'AsyncLLM'\n" in done.stderr
    change("double.json", lambda one: one["spec"]["workload"].update(streaming=True))
    done = compare(reports / "fake.json", reports / "double.json")
    assert done.exit_code == 2
    assert done.stderr.endswith("streaming False and True\n")


def test_one_backend_alone_has_nothing_to_be_compared_with(reports):
    """Nor has a report of none, nor three."""
    done = compare(reports / "fake.json")
    assert (done.exit_code, done.stderr) == (
        2,
        "no two experiments there differ in their backend\n",
    )
    assert compare(*[reports / "fake.json"] * 3).exit_code == 2
    assert "key 'gpu' is unknown" in compare(reports / "both.json", by="gpu").stderr


def test_any_key_that_was_asked_for_may_be_what_differs(reports):
    """Lengths of one backend against each other; backends are not mixed."""
    done = compare(reports / "both.json", by="output_tokens")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.count("output_tokens=4") == 2
    assert "Asked alike but for output_tokens." in done.stdout
    done = compare(reports / "both.json", by="batch_size")
    assert done.stderr == "no two experiments there differ in their batch_size\n"


def test_any_metric_may_be_compared(reports):
    """With its unit, and which way is better known."""
    paths = [str(reports / "both.json"), "--by=backend"]
    done = CliRunner().invoke(
        app, ["compare", *paths, "--metric=output_throughput_tps"]
    )
    assert done.exit_code == 0
    assert done.stdout.startswith("Output tokens over window time, token/s; second")
    assert done.stdout.count("worse") == 2
    wrong = CliRunner().invoke(app, ["compare", *paths, "--metric=joules"])
    assert (wrong.exit_code, wrong.stderr[:24]) == (2, "metric 'joules' is unkno")


def test_a_comparison_is_a_row_of_a_spreadsheet(reports):
    """With the ends of each ratio, and what differs where there is none."""
    file = reports / "both.csv"
    asked = ["compare", str(reports / "both.json"), "--by=backend", f"--csv={file}"]
    assert CliRunner().invoke(app, asked).exit_code == 0
    rows = list(csv.DictReader(file.open()))
    assert [float(row["ratio"]) for row in rows] == pytest.approx([2.0, 2.0])
    assert float(rows[0]["ed2p_js2_ratio"]) == pytest.approx(8.0)
    assert float(rows[0]["ratio_high"]) >= float(rows[0]["ratio_low"])


def test_without_a_key_each_experiment_is_held_against_itself(reports, change):
    """Whatever else differs is told, and unequal work is refused."""
    paths = [str(reports / name) for name in ("both.json", "fake.json")]
    change("fake.json", lambda one: one["cycles"][0]["engine"].update(version="9"))
    done = CliRunner().invoke(app, ["compare", *paths])
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.count("~1 (1 to 1)") == done.stdout.count("no different") == 2
    assert "test_it[fake-4] also differs in ran engine.version\n" in done.stdout
    change("fake.json", _outputs)
    assert CliRunner().invoke(app, ["compare", *paths]).exit_code == 2
    alone = CliRunner().invoke(app, ["compare", paths[0]])
    assert alone.stderr == "one report alone: give a second, or --by KEY\n"
