"""`lem results` and `lem merge`, typed as a user does."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("sqlalchemy")

from pytest_lem.cli import app
from pytest_lem.records.export import read_json, write_json
from tests.store.making import SPEED, cycle, report


@pytest.fixture
def lem(tmp_path, monkeypatch):
    """Run a command in an empty folder; (exit status, output, errors)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("LEM_STORE", raising=False)

    def lem(*arguments, answer=None):
        done = CliRunner().invoke(app, [*map(str, arguments)], input=answer)
        assert done.exception is None or isinstance(done.exception, SystemExit)
        return done.exit_code, done.stdout, done.stderr

    return lem


@pytest.fixture
def keys(lem, tmp_path):
    """The keys of a store of two sessions: `a` on one machine, `b` and `c` later."""
    (tmp_path / ".lem").mkdir()
    write_json(report("one", ["t.py::a"]), tmp_path / "one.json")
    late = report("two", ["t.py::b", "t.py::c"], day="2026-01-02", backend="vllm")
    write_json(late, tmp_path / "two.json")
    status, output, _ = lem("merge", "one.json", "two.json")
    assert status == 0
    assert output == "one.json: 1 records added\ntwo.json: 2 records added\n"
    _, output, _ = lem("results", "list", "--json")
    found = [json.loads(line) for line in output.splitlines()]
    return {one["experiment_id"].removeprefix("t.py::"): one["key"] for one in found}


def test_records_are_listed_the_newest_first(lem, keys):
    """With what a user looks for, and no column that is empty."""
    status, output, _ = lem("results", "list", "--backend", "vllm")
    assert status == 0
    header, _, *rows = (line.split() for line in output.splitlines() if line.strip())
    assert "labels" not in header
    assert [row[:2] for row in rows] == [["c", keys["c"]], ["b", keys["b"]]]


def test_values_of_metrics_are_told_with_units_and_intervals(lem, keys):
    """Of those records that have them."""
    status, output, _ = lem("results", "query", SPEED, "--until", "2026-01-01")
    assert status == 0
    assert f"{SPEED} token/s" in output
    assert "50.5 ±13 %" in output
    assert keys["a"] in output
    assert keys["b"] not in output
    _, output, _ = lem("results", "query", SPEED, "--json", "--limit", 1)
    value = json.loads(output)["metrics"][SPEED]
    assert (value["value"], value["n"]) == (50.5, 2)


def test_one_record_is_shown_whole(lem, keys):
    """By how its key begins; as JSON it is a report."""
    status, output, _ = lem("results", "show", keys["b"][:8])
    assert status == 0
    assert f"record      {keys['b']}" in output
    assert "GPU         GPU X" in output
    assert "cycles      2 complete" in output
    _, output, _ = lem("results", "show", keys["b"], "--json")
    assert [one["id"] for one in json.loads(output)["experiments"]] == ["t.py::b"]


def test_exported_reports_are_those_that_were_merged(lem, keys, tmp_path):
    """A file for each session, and one table of all of them."""
    status, output, _ = lem("results", "export", "--json", "out", "--csv", "all.csv")
    assert (status, output) == (0, "3 records of 2 sessions exported\n")
    files = sorted((tmp_path / "out").iterdir())
    whole = [(tmp_path / name).read_bytes() for name in ("one.json", "two.json")]
    assert [one.read_bytes() for one in files] == whole
    with (tmp_path / "all.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["experiment_id"] for row in rows) == [
        "t.py::a",
        "t.py::b",
        "t.py::c",
    ]
    lem("results", "export", keys["c"], "--json", "out")
    (part,) = {*(tmp_path / "out").iterdir()} - {*files}
    assert [one.id for one in read_json(part).experiments] == ["t.py::c"]


def test_records_are_deleted_when_that_was_confirmed(lem, keys):
    """They are named before; `--yes` does not ask."""
    status, output, _ = lem("results", "delete", keys["a"], answer="n\n")
    assert status == 1
    assert f"{keys['a']}  t.py::a" in output
    assert len(lem("results", "list", "--json")[1].splitlines()) == 3
    status, output, _ = lem("results", "delete", keys["a"], keys["b"], "--yes")
    assert status == 0
    assert output.endswith("2 records deleted\n")
    assert len(lem("results", "list", "--json")[1].splitlines()) == 1


def test_stores_are_merged_with_their_labels(lem, keys):
    """What is there already stays one, and what differs is replaced and said."""
    lem("results", "label", "main", keys["a"])
    _, output, _ = lem("merge", ".lem/results.db", "two.json", "--store", "all.db")
    assert output.splitlines() == [
        ".lem/results.db: 3 records added",
        "two.json: 0 records added, 2 known already",
    ]
    _, output, _ = lem("results", "list", "--store=all.db", "--label=main", "--json")
    assert json.loads(output)["key"] == keys["a"]
    changed = report("one", ["t.py::a"], cycles=[cycle(0)])
    write_json(changed, Path("changed.json"))
    _, output, _ = lem("merge", "changed.json", "--store", "all.db")
    assert output == "changed.json: 0 records added, 1 replaced\n"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ("results show zz", 2, "no record begins with 'zz': `lem results list` has"),
        ("results delete zz", 2, "no record begins with 'zz'"),
        ("results label a/b! 1", 2, "'a/b!' is no label: write up to 200"),
        ("results list --model other", 1, "no records there that are wanted"),
        ("results list --since soon", 2, "'soon' is no date: write 2026-01-31"),
        ("results list --store none.db", 2, "there is no store "),
        ("results query energy", 2, "metric 'energy' is unknown; did you mean"),
        ("results export", 2, "export to what? write --json DIR, --csv FILE or both"),
        ("results export --csv no/x.csv", 2, "not exported: "),
        ("merge none.json", 2, "none.json cannot be read: No such file or directory"),
        ("merge all.csv", 2, "all.csv is no report of pytest-lem: "),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    lem, keys, tmp_path, arguments, status, said
):
    """With an exit status other than 0."""
    (tmp_path / "all.csv").write_text("a,b\n")
    found, _, errors = lem(*arguments.split())
    assert found == status
    assert errors.startswith(said)
    assert len(errors.splitlines()) == 1
