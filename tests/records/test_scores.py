"""Scores of users: what a file may say, and how it is joined to a record."""

import json

import pytest
from typer.testing import CliRunner

from pytest_lem.cli import app
from pytest_lem.errors import ConfigError
from pytest_lem.records.export import read_json, write_json
from pytest_lem.records.scores import read_scores, with_scores
from tests.store.making import report

CSV = """experiment,rouge_l, wer:lower ,style
t.py::a,0.41,0.1,
t.py::b,,0.2,3
"""
ROWS = [
    {"experiment": "t.py::a", "rouge_l": 0.41, "wer": 0.1, "style": None},
    {"experiment": "t.py::b", "wer": 0.2, "style": 3},
]


@pytest.fixture
def put(tmp_path):
    """Write a file of scores; its path."""

    def put(text, name="scores.csv"):
        path = tmp_path / name
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return path

    return put


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (CSV, "scores.csv"),
        ({"experiments": ROWS, "better": {"wer": "lower"}}, "scores.json"),
        (ROWS, "rows.json"),
    ],
)
def test_scores_are_joined_by_id_with_their_directions(put, text, name):
    """A direction is said, or known by the name, or null; so is a missing score."""
    record = with_scores(
        report("one", ["t.py::a", "t.py::b", "t.py::c"]), read_scores(put(text, name))
    )
    a, b, c = (one.quality.scores for one in record.experiments)
    assert {key: one.value for key, one in a.items()} == {
        "rouge_l": 0.41,
        "wer": 0.1,
        "style": None,
    }
    better = {key: one.better for key, one in a.items()}
    assert better == {"rouge_l": "higher", "wer": "lower", "style": None}
    assert (b["rouge_l"].value, b["style"].value) == (None, 3.0)
    nulls = [one.nulls for one in record.experiments]
    assert nulls[0]["quality.scores.style"] == "empty_in_file"
    assert nulls[2]["quality.scores.wer"] == "not_in_file"
    assert {one.value for one in c.values()} == {None}


def test_an_identity_names_an_experiment_as_well(put):
    """Which is the same wherever a test has moved to."""
    record = report("one", ["t.py::a"])
    identity = record.experiments[0].identity
    scores = read_scores(put(f"experiment,accuracy\n{identity},0.9\n"))
    (one,) = with_scores(record, scores).experiments
    assert one.quality.scores["accuracy"].value == 0.9
    assert scores.unknown({identity}) == []
    assert scores.unknown({"t.py::a"}) == [identity]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,bleu\na,1\n", "its first row names no column 'experiment'"),
        ("", "its first row names no column 'experiment'"),
        ("experiment\na\n", "it has no score beside 'experiment'"),
        ("experiment,bleu,bleu\na,1,1\n", "it has column 'bleu' twice"),
        ("experiment,bleu\na,1\nb,good\n", "row 2, column 'bleu': 'good' is no number"),
        ("experiment,bleu\na,nan\n", "row 1, column 'bleu': 'nan' is no number"),
        ("experiment,bleu\na,1\na,2\n", "row 2: experiment 'a' was there before"),
        ("experiment,bleu\n,1\n", "row 1 names no experiment"),
        ("experiment,bleu\na,1,2\n", "row 1 has other columns than the first"),
        ("experiment,bleu\na\n", "row 1 has other columns than the first"),
        ("experiment,bleu:up\na,1\n", "'bleu' is better 'up': say higher or lower"),
        ("experiment,:lower\na,1\n", "a score has no name"),
    ],
)
def test_a_file_that_cannot_be_is_one_line_with_row_and_column(put, text, told):
    """And its name."""
    path = put(text)
    with pytest.raises(ConfigError) as error:
        read_scores(path)
    assert error.value.message.startswith(f"file {path}: ")
    assert told in error.value.message
    assert "\n" not in error.value.message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is no JSON: "),
        ({"experiments": {"a": 1}}, "has no list of experiments, each an object"),
        ({"experiments": [], "better": []}, "its 'better' is no object"),
        ([{"experiment": "a", "bleu": True}], "row 1, column 'bleu': True is no num"),
        ([{"experiment": "a", "bleu": [1]}], r"row 1, column 'bleu': [1] is no num"),
    ],
)
def test_json_that_cannot_be_is_one_line_too(put, text, told):
    """Rows count from 1."""
    with pytest.raises(ConfigError) as error:
        read_scores(put(text, "scores.json"))
    assert told in error.value.message


def test_lem_quality_join_writes_them_into_a_report(put, tmp_path):
    """In place or elsewhere; experiments that it does not have are named."""
    scores = put("experiment,bleu\nt.py::a,31.5\nt.py::z,1\n")
    path, out = tmp_path / "r.json", tmp_path / "out.json"
    write_json(report("one", ["t.py::a"]), path)
    before = path.read_bytes()
    arguments = ["quality", "join", str(path), str(scores)]
    done = CliRunner().invoke(app, [*arguments, "-o", str(out)])
    assert done.exit_code == 0
    assert done.stdout == f"{out}: bleu of 1 experiments\n"
    assert f"no experiment 't.py::z' in {path}" in done.stderr
    assert path.read_bytes() == before
    (one,) = read_json(out).experiments
    assert one.quality.scores["bleu"].value == 31.5
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert path.read_bytes() == out.read_bytes()
    done = CliRunner().invoke(app, ["quality", "join", str(path), str(path)])
    assert done.exit_code == 2
    assert "\n" not in done.stderr.strip()
