"""The page itself: whole, and nothing in it acts that only should be read."""

import json
import re
from base64 import b64decode
from gzip import decompress
from html import unescape

import pytest
from typer.testing import CliRunner

from pytest_lem.cli import app
from pytest_lem.records.export import write_json
from pytest_lem.report.html import packing
from pytest_lem.report.html.assets import as_json
from pytest_lem.report.html.page import render
from pytest_lem.report.html.view import experiments
from tests.report.html.making import experiment, source

EVIL = "</script><script>alert(1)</script>\u2028<img src=x onerror=alert(2)>"


def report(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def unpacked(text):
    return json.loads(decompress(b64decode(text)))


def data(page):
    """What scripts read."""
    (text,) = re.findall(r'id="lem-data" data-packed>(.*?)</script>', page)
    return unpacked(text)


def picked(part, k):
    """One of several values that were packed place by place, as scripts do it."""
    if isinstance(part, list):
        return part[k]
    if "=" in part:
        return part["="]
    if "l" in part:
        return [picked(one, k) for one in part["l"]]
    return {key: picked(one, k) for key, one in zip(part["k"], part["v"], strict=True)}


def test_the_page_needs_nothing_else_and_asks_for_nothing():
    """Its policy lets no request out, and only its own scripts run, by their hashes."""
    page = render([source(experiment())])
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert unescape(policy).startswith("default-src 'none'; script-src 'sha256-")
    own = page[: page.index("<script>")]
    assert {link[:1] for link in re.findall(r' (?:src|href)="([^"]*)', own)} == {
        "#",
        "d",
    }


def test_what_records_say_is_text():
    """Names and models with tags in them open none."""
    made = experiment(EVIL, model=EVIL, flags=[EVIL])
    page = render([source(made, session=EVIL)])
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "\u2028" not in page
    assert data(page)["charts"]


def test_each_experiment_is_there_whole_behind_its_link(monkeypatch):
    """Its row is what the link leads to; its record is packed with some others."""
    monkeypatch.setattr(packing, "TOGETHER", 2)
    odd = experiment("odd", flags=["few_cycles"], values=(1.0,), batch_size=3)
    made = [odd, experiment("a"), experiment("b", identity="ab12")]
    page = render([source(*made)])
    assert '<tr id="ab12"' in page
    packs = re.findall(r'data-of="([^"]*)">(.*?)</script>', page)
    told = [
        picked(unpacked(text), k)
        for anchors, text in packs
        for k, _ in enumerate(anchors.split())
    ]
    assert len(packs) == 2
    assert [one["record"] for one in told] == [
        one.model_dump(mode="json") for one in made
    ]
    assert {one["digits"] for one in told} == {None}


def test_numbers_of_very_many_experiments_have_fewer_digits(monkeypatch):
    """And say so; of still more of them the records are left out."""
    shown = experiments([source(experiment(values=(1 / 3, 2 / 3)))])

    def told(most):
        monkeypatch.setattr(packing, "MOST_BYTES", most)
        (text,) = packing.packed(shown).values()
        return len(text), picked(unpacked(text), 0)

    size, whole = told(10**6)
    assert whole["digits"] is None
    size, fewer = told(size - 1)
    assert fewer["digits"] == 6
    metrics = fewer["record"]["cycles"][0]["metrics"]
    assert metrics["energy_per_output_token_j"] == 0.333333
    _, without = told(size - 1)
    assert without["record"] is None
    assert without["sections"] == fewer["sections"]


def test_what_is_no_number_is_null():
    """JSON has no word for it, and browsers read none."""
    assert as_json([float("nan"), {"a": float("inf")}]) == '[null,{"a":null}]'


def test_records_of_equal_reports_give_equal_pages():
    """So that a page may be kept under version control."""
    assert render([source(experiment())]) == render([source(experiment())])


def test_lem_report_writes_the_page_of_reports(tmp_path):
    """Of one or of several, to where it is told."""
    write_json(source(experiment(), day=1).record, tmp_path / "a.json")
    write_json(source(experiment(), session="t", day=2).record, tmp_path / "b.json")
    page = tmp_path / "page.html"
    done = report(tmp_path / "a.json", tmp_path / "b.json", "-o", page)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{page}: 2 experiments, 2 reports")
    assert len(data(page.read_text())["anchors"]) == 2


def test_lem_report_writes_the_page_of_a_store(tmp_path):
    """Of the records that are chosen, as `lem results` does."""
    pytest.importorskip("sqlalchemy")
    from pytest_lem.store.opening import open_store
    from pytest_lem.store.place import parse_place

    store = open_store(parse_place("r.db", tmp_path), create=True)
    made = [experiment("a", backend="fake"), experiment("b", backend="vllm")]
    store.put(source(*made).record)
    store.close()
    where, page = f"--store={tmp_path}/r.db", tmp_path / "page.html"
    done = report(where, "--backend=vllm", "-o", page)
    assert (done.exit_code, done.stderr) == (0, "")
    assert len(data(page.read_text())["anchors"]) == 1
    none = report(where, "--backend=none", "-o", page)
    assert (none.exit_code, none.stderr) == (1, "no records there that are wanted\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "a page of what? name JSON reports, or a store by --store"),
        (["a.json", "--backend=vllm"], "those of reports cannot"),
        (["a.json", "-o", "nowhere/page.html"], "cannot be written: No such file"),
    ],
)
def test_lem_report_says_what_is_wrong_in_a_line(
    tmp_path, monkeypatch, arguments, line
):
    """Nothing to show, choices that do nothing, a folder that is not there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEM_STORE", raising=False)
    write_json(source(experiment()).record, tmp_path / "a.json")
    done = report(*arguments)
    assert done.exit_code == 2
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_its_libraries_a_page_is_refused_with_what_to_install(monkeypatch):
    """Before anything is read."""
    from pytest_lem.report.html import libraries

    monkeypatch.setattr(libraries, "find_spec", lambda name: None)
    done = report("--store=nowhere.db")
    assert done.exit_code == 2
    assert done.stderr == (
        "an HTML report needs jinja2: pip install 'pytest-lem[report]'\n"
    )
