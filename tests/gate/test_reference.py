"""What a reference is by its name: a file, a label of the store, or its latest."""

import pytest
from typer.testing import CliRunner

pytest.importorskip("sqlalchemy")

from pytest_lem.cli import app
from pytest_lem.errors import ConfigError
from pytest_lem.gate.reference import LATEST_SESSIONS, read_reference
from pytest_lem.records.export import write_json
from pytest_lem.store.opening import open_store
from pytest_lem.store.place import parse_place
from pytest_lem.store.wanted import Wanted

RUN = [("t.py::test", "f00")]


@pytest.fixture
def place(tmp_path):
    return parse_place("results.db", tmp_path)


@pytest.fixture
def stored(place):
    """Put reports into the store, with a label or without."""

    def stored(reports, label=None):
        store = open_store(place, create=True)
        for one in reports:
            store.put(one)
            if label:
                wanted = Wanted(experiment=one.experiments[0].id)
                found = [
                    it for it in store.find(wanted) if it.session == one.session.id
                ]
                store.label([it.key for it in found], label)
        store.close()

    return stored


@pytest.fixture
def sessions(tmp_path, place):
    """The sessions that a name stands for."""

    def sessions(name, run=RUN, without=()):
        found = read_reference(
            name, root=tmp_path, place=place, run=run, without=without
        )
        return [one.session.id for one in found.records]

    return sessions


def test_a_label_has_as_many_sessions_as_were_saved_under_it(
    stored, sessions, make_report
):
    """In the order in which they began."""
    stored([make_report([1.0], day=day) for day in (3, 1, 2)], "main")
    stored([make_report([1.0], day=4)])
    assert sessions("main") == ["session 1", "session 2", "session 3"]


def test_an_unknown_label_is_refused_with_the_nearest(stored, sessions, make_report):
    """And so is any name where there is no store."""
    with pytest.raises(
        ConfigError, match=r"^is no file, and there is no store .*\.db$"
    ):
        sessions("main")
    stored([make_report([1.0])], "main")
    with pytest.raises(
        ConfigError, match=r"label 'mian' is unknown; did you mean 'main"
    ):
        sessions("mian")


def test_a_file_wins_over_a_label_of_its_name(
    stored, sessions, make_report, tmp_path, place
):
    """Which is said."""
    stored([make_report([1.0], day=1)], "main")
    write_json(make_report([1.0], day=2), tmp_path / "main")
    assert sessions("main") == ["session 2"]
    found = read_reference("main", root=tmp_path, place=place, run=RUN)
    assert str(found) == "main (file)"


def test_the_latest_are_those_of_the_experiment_that_may_be_a_reference(
    stored, sessions, make_report
):
    """Neither the run itself, nor one that is a regression or was interrupted."""
    stored([make_report([1.0], day=day) for day in range(1, 15)])
    bad, cut = (make_report([1.0], day=day) for day in (20, 21))
    object.__setattr__(bad.experiments[0], "gate", {"verdict": "regression"})
    object.__setattr__(cut.session, "status", "interrupted")
    other = make_report([1.0], day=22, name="t.py::other", identity="bad")
    stored([bad, cut, other])
    expected = [f"session {day}" for day in range(14 - LATEST_SESSIONS, 14)]
    assert sessions("last", without=["session 14"]) == expected
    assert sessions("last", [("t.py::renamed", "f00")])[-1] == "session 14"
    assert sessions("last", [("t.py::test", "changed")])[-1] == "session 14"
    assert sessions("last", [("t.py::new", "new")]) == []


def test_the_command_judges_by_a_label_and_by_the_latest(
    stored, reference, make_report, tmp_path, monkeypatch
):
    """It says how many sessions these are; labels are listed."""
    monkeypatch.chdir(tmp_path)
    stored(reference(), "main")
    write_json(make_report([1.25, 1.26], day=20), tmp_path / "run.json")
    place = "--store=results.db"

    def gate(name):
        command = ["gate", "run.json", f"--against={name}", place]
        return CliRunner().invoke(app, command)

    done = gate("main")
    assert done.exit_code == 1
    assert "reference: main (label, 3 sessions of the store)\n" in done.stdout
    assert "reference: last (latest, 3 sessions of the store)\n" in gate("last").stdout
    done = gate("mian")
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert done.stderr.startswith("--against=mian: is no file, and in ")
    done = CliRunner().invoke(app, ["results", "labels", place])
    assert ["main", "3", "3"] in [line.split()[:3] for line in done.stdout.splitlines()]
