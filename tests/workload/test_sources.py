"""Prompts of files and lists: which column, which ones, in what order."""

import json

import pyarrow
import pytest
from pyarrow import parquet

from pytest_lem.errors import ConfigError
from pytest_lem.spec.parameters.prompts import PromptOptions
from pytest_lem.workload.sources import given

ROWS = [
    {"id": 1, "text": "Was ist\nein Watt?", "answer": "J/s"},
    {"id": 2, "text": "  ", "answer": "nothing"},
    {"id": 3, "text": 'Ein "Joule", 焦耳', "answer": "W s"},
]
TEXTS = [ROWS[0]["text"], ROWS[2]["text"]]


def write(folder, form, rows=ROWS):
    """The rows as a file of that format."""
    path = folder / f"asked.{form}"
    if form == "parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif form == "json":
        path.write_text(json.dumps(rows))
    elif form == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    else:
        mark = {"csv": ",", "tsv": "\t"}[form]
        lines = [mark.join(rows[0])]
        for row in rows:
            cells = [str(cell).replace('"', '""') for cell in row.values()]
            lines.append(mark.join(f'"{cell}"' for cell in cells))
        path.write_bytes("\r\n".join(lines).encode())
    return str(path)


def read(prompts, **options):
    return given(prompts, PromptOptions(**options), 0)


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "tsv", "parquet"])
def test_a_table_of_any_format_gives_the_same_prompts(form, tmp_path):
    """Newlines, quotes and other scripts survive; blank cells are left out."""
    found = read(write(tmp_path, form))
    assert (found.texts, found.column, found.format) == (TEXTS, "text", form)
    assert read(write(tmp_path, form), column="answer").texts == [
        row["answer"] for row in ROWS
    ]


def test_columns_are_looked_for_in_their_order(tmp_path):
    """Prompt before text before instruction before input before question."""
    names = ["question", "input", "instruction", "text", "prompt"]
    row = {name: name for name in names}
    for name in reversed(names):
        assert read(write(tmp_path, "jsonl", [row])).texts == [name]
        del row[name]
        row["other"] = "x"


def test_a_shuffle_follows_from_the_seed_and_comes_before_the_count():
    """Pinned: every platform asks the same prompts."""
    letters = list("abcdef")
    shuffled = PromptOptions(order="shuffled")
    assert "".join(given(letters, shuffled, 0).texts) == "bcaedf"
    assert "".join(given(letters, shuffled, 1).texts) == "fdabce"
    three = given(letters, PromptOptions(order="shuffled", count=3), 0)
    assert ("".join(three.texts), three.available) == ("bcaedf"[:3], 6)
    assert read(letters, count=2).texts == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "options", "line"),
    [
        ("a.jsonl", '{"text": "a"}\n{"text', {}, "a.jsonl, line 2 is not JSON: "),
        ("a.jsonl", '{"text": "a"}\n["b"]', {}, "a.jsonl, line 2 is no JSON object"),
        ("a.jsonl", '{"text": 7}', {}, "a.jsonl, line 1: 'text' is int and no text"),
        ("a.json", '{"text": "a"}', {}, "a.json is no JSON list of objects"),
        ("a.json", '[{"text": " "}]', {}, "a.json is empty: column 'text' holds no"),
        ("a.csv", "x,y\n1,2", {}, "a.csv has no column prompt, .*: name one of x, y"),
        ("a.csv", "text\n1,2", {}, "a.csv, line 2 has more fields than the first"),
        ("a.csv", 'text\n"a"b', {}, "a.csv, line .* is not CSV: "),
        ("a.csv", "text\na", {"column": "tex"}, "column 'tex' is unknown; .*'text'"),
        ("a.parquet", "PAR", {}, "a.parquet cannot be read: "),
        ("a.txt", "a", {"column": "text"}, "column='text': .*a.txt has no columns"),
        ("a.txt", "a\nb", {"count": 3}, "count=3: there are 2 prompts"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(
    name, content, options, line, tmp_path
):
    """The file, the place in it, and what to do."""
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ConfigError, match=line) as caught:
        read(str(path), **options)
    assert "\n" not in str(caught.value)


def test_a_list_has_no_columns():
    """Naming one is a mistake."""
    with pytest.raises(ConfigError, match="prompts is a list, which has no columns"):
        read(["a"], column="text")


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    """The real library, which keeps to itself, and has no network."""
    found = pytest.importorskip("datasets")
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(found.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(found.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    return found


def test_a_folder_is_a_dataset(datasets, tmp_path, capfd):
    """As files of splits, or as the library saves it, with one split or several."""
    rows = [{"question": text, "answer": "x"} for text in ("a", " ", "b")]
    files, saved, one = (tmp_path / name for name in ("files", "saved", "one"))
    files.mkdir()
    for split in ("train", "test"):
        texts = [{**row, "answer": split} for row in rows]
        table = pyarrow.Table.from_pylist(texts)
        parquet.write_table(table, files / f"{split}-00000.parquet")
    made = datasets.Dataset.from_list(rows)
    made.save_to_disk(one)
    datasets.DatasetDict({"train": made, "test": made}).save_to_disk(saved)
    capfd.readouterr()
    for folder in (files, saved, one):
        found = read(str(folder))
        assert (found.texts, found.column) == (["a", "b"], "question")
        assert found.format == "dataset"
        assert capfd.readouterr() == ("", "")
    assert read(str(files), split="test", column="answer").texts == ["test"] * 3
    with pytest.raises(ConfigError, match=r"split 'tset' is unknown; .*'test'"):
        read(str(files), split="tset")


def test_a_dataset_that_cannot_be_reached_is_told_in_one_line(datasets):
    """Without a network, too."""
    with pytest.raises(ConfigError, match="dataset hf:no/such cannot be") as caught:
        read("hf:no/such")
    assert "\n" not in str(caught.value)


def test_only_a_dataset_has_splits():
    """Asking one of a list is a mistake."""
    with pytest.raises(ConfigError, match="split='test': prompts are no dataset"):
        read(["a"], split="test")
