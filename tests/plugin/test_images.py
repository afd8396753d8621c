"""`--lem-image`: engines in containers, with a stand-in for podman that runs here."""

import json
import os
import sys
from pathlib import Path

import pytest

import pytest_lem
from pytest_lem.worker.protocol import PROTOCOL

SHAM = Path(__file__).parents[1] / "data" / "sham_podman.py"
SOURCE = """
import pytest

@pytest.mark.lem
def test_it(lem):
    lem()
"""
TWICE = (
    SOURCE
    + """
@pytest.mark.lem(fake={"fail_at": "generate"})
def test_fails(lem):
    lem()

@pytest.mark.lem(batch_size=2)
def test_after(lem):
    lem()
"""
)
HERE = ("--lem-image=fake", "--lem-json=r.json")


@pytest.fixture
def podman(tmp_path, monkeypatch):
    """The folder of the only runtime on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "podman"
    command.write_text(f"#!{sys.executable}\n{SHAM.read_text()}")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("LEM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return folder


@pytest.fixture
def asked(podman):
    """The arguments of each call of the runtime that began with a word."""

    def asked(word):
        lines = (podman / "asked.jsonl").read_text().splitlines()
        return [told[1:] for line in lines if (told := json.loads(line))[0] == word]

    return asked


def test_an_engine_runs_in_a_container_of_its_own(podman, run, report, asked):
    """Each worker in a new one; header and record name the image."""
    done = run(SOURCE, *HERE)
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["*fake (lem-fake)*"])
    first, second = (one.worker["image"] for one in report().experiments[0].cycles)
    names = {first.pop("container"), second.pop("container")}
    assert len(names) == 2
    assert first == {
        "name": "lem-fake",
        "id": "feed",
        "runtime": "podman 4.9.3",
        "mode": "run",
    }
    assert len(asked("run")) == 3
    assert {told[-1] for told in asked("rm")} == names


def test_a_container_gets_what_it_needs_and_no_more(podman, run, project, asked):
    """Unprivileged, removed, unlogged, with this user's number and these paths."""
    run(SOURCE, *HERE, "--lem-container-args=--network=host --memory=9g")
    *_, told = asked("run")
    flags = {one for one in told if "=" not in one}
    assert {"--rm", "--init", "--interactive", "--no-healthcheck"} <= flags
    assert "--privileged" not in told
    pairs = {tuple(one.split("=", 1)) for one in told if "=" in one}
    assert ("--security-opt", "no-new-privileges") in pairs
    assert ("--user", f"{os.getuid()}:{os.getgid()}") in pairs
    assert {("--pull", "never"), ("--log-driver", "none"), ("--shm-size", "8g")} < pairs
    assert {("--network", "host"), ("--memory", "9g")} < pairs
    mounts = [one.removeprefix("--mount=") for one in told if "--mount" in one]
    own = f"type=bind,source={project.path},target={project.path},readonly"
    assert own in mounts
    writable = [one for one in mounts if not one.endswith(",readonly")]
    assert len(writable) == 3  # its home, the hub's cache, the session's directory


def test_one_container_serves_all_workers_where_asked(podman, run, report, asked):
    """It is started once, outlives a failure, and is removed at the end."""
    done = run(TWICE, *HERE, "--lem-container=exec")
    done.assert_outcomes(passed=2, failed=1)
    places = [c.worker["image"] for e in report().experiments for c in e.cycles]
    assert {one["mode"] for one in places} == {"exec"}
    (name,) = {one["container"] for one in places}
    assert len(asked("run")) == 2
    assert asked("rm")[-1][-1] == name
    assert not (podman / name).exists()


def test_a_kept_container_that_keeps_dying_is_given_up(podman, run, report, asked):
    """After three restarts the next experiment says so."""
    source = """
import pytest

@pytest.mark.parametrize("batch_size", range(1, 7))
@pytest.mark.lem(cycles=1, fake={"die_at": "load"})
def test_it(lem, batch_size):
    lem()
"""
    run(source, *HERE, "--lem-container=exec").assert_outcomes(failed=6)
    told = [one.cycles[0].error for one in report().experiments]
    assert {one.kind for one in told} == {"worker_died"}
    assert "started anew 3 times before" in told[-1].message
    assert len(asked("run")) == 1 + 4


def test_a_token_goes_in_as_a_file_and_leaves_no_trace(
    podman, run, project, monkeypatch, asked
):
    """Its owner alone can read that, and it is gone afterwards."""
    monkeypatch.setenv("HF_TOKEN", "hf_markermarker")
    run(SOURCE, *HERE)
    *_, told = asked("run")
    (mount,) = (one for one in told if "target=/run/secrets/hf_token" in one)
    assert "--env=HF_TOKEN_PATH=/run/secrets/hf_token" in told
    secret = podman / "secret"
    assert secret.read_text() == "100600 hf_markermarker"
    secret.unlink()
    assert not Path(mount.split("source=")[1].split(",")[0]).parent.exists()
    written = [p for top in (project.path, podman) for p in top.rglob("*")]
    for path in filter(Path.is_file, written):
        assert b"markermarker" not in path.read_bytes()


def test_a_token_is_in_nothing_that_a_session_writes(run, project, monkeypatch):
    """Nor in what it prints; a container or none."""
    monkeypatch.setenv("HF_TOKEN", "hf_markermarker")
    more = "--lem-json=r.json", "--lem-csv=r.csv", "--lem-traces=t", "-v"
    done = run(SOURCE, *more, "--lem-meter=fake:9", "--lem-save-outputs=texts")
    done.assert_outcomes(passed=1)
    assert "markermarker" not in done.stdout.str() + done.stderr.str()
    written = [path for path in project.path.rglob("*") if path.is_file()]
    assert {".json", ".csv", ".jsonl", ".log"} < {path.suffix for path in written}
    assert not [one for one in written if b"markermarker" in one.read_bytes()]


def test_a_token_of_the_environment_is_warned_of(run, monkeypatch):
    """Where an engine would use it: for a model of the hub."""
    monkeypatch.setenv("HF_TOKEN", "hf_markermarker")
    words = "*LemConfigWarning: HF_TOKEN is taken from the environment*"
    run(SOURCE, "--lem-plan").stdout.no_fnmatch_line(words)
    run(SOURCE, "--lem-plan", "--lem-model=a/b").stdout.fnmatch_lines([words])


def test_rights_over_the_machine_are_asked_for_and_warned_of(podman, run, asked):
    """In an option of their own."""
    done = run(SOURCE, *HERE, "--lem-container-privileged")
    done.assert_outcomes(passed=1, warnings=1)
    done.stdout.fnmatch_lines(["*--lem-container-privileged gives the engine all*"])
    assert "--privileged" in asked("run")[-1]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--lem-image=fake="], "--lem-image=['fake='] is not BACKEND=IMAGE"),
        (["--lem-image=fkae=x"], "--lem-image: backend 'fkae' is unknown; did you me"),
        (["--lem-image=fake=none"], "fake=none: podman has no image none: pull or bui"),
        (["--lem-image=fake", "--lem-python=fake=/x"], "it runs in /x already"),
        (["--lem-image=fake", "--lem-container=keep"], "is none of run, exec"),
        (["--lem-container-args=--privileged"], "--lem-container-privileged says that"),
        (["--lem-container-args=-e HF_TOKEN=x"], "which every user could read"),
    ],
)
def test_what_cannot_be_is_one_line(podman, run, project, errors_of, arguments, line):
    """Before anything runs."""
    result = run(SOURCE, "--lem-backend=fake", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (told,) = errors_of(result)
    assert line in told
    assert not (project.path / ".lem").exists()


@pytest.mark.parametrize(
    ("plugin", "line"),
    [
        (None, "old has no pytest-lem: build it with pytest-lem=="),
        (
            {"version": pytest_lem.__version__, "protocol": 77},
            f"which speaks protocol 77 and this one {PROTOCOL}: build it anew",
        ),
        (
            {"version": "0.0.3", "protocol": PROTOCOL},
            f"has pytest-lem 0.0.3 and this is {pytest_lem.__version__}: build it anew",
        ),
    ],
)
def test_an_image_of_another_version_is_named_before_it_loads(
    podman, run, errors_of, plugin, line
):
    """By what it says of itself."""
    told = {"version": [3, 12, 1], "plugin": plugin, "missing": [], "packages": {}}
    (podman / "told.json").write_text(json.dumps(told))
    result = run(SOURCE, "--lem-backend=fake", "--lem-image=fake=old")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (said,) = errors_of(result)
    assert line in said


@pytest.mark.parametrize("backend", ["pytorch", "trt", "vllm"])
def test_a_backend_names_its_image_whatever_it_is_called(
    podman, run, errors_of, backend
):
    """As its Dockerfile and the service of compose do."""
    name = {"pytorch": "transformers", "trt": "tensorrt"}.get(backend, backend)
    result = run(SOURCE, f"--lem-backend={backend}", f"--lem-image={backend}")
    (said,) = errors_of(result)
    assert said.startswith(f"--lem-image {name}=lem-{name}: podman has no image lem-")


def test_what_an_image_lacks_is_told_by_its_name(podman, run, errors_of):
    """And what to build it with."""
    plugin = {"version": pytest_lem.__version__, "protocol": PROTOCOL}
    missing = ["torch", "transformers"]
    told = {"version": [3, 12, 1], "plugin": plugin, "missing": missing, "packages": {}}
    (podman / "told.json").write_text(json.dumps(told))
    image = "--lem-image=transformers=old"
    result = run(SOURCE, "--lem-backend=transformers", image)
    (said,) = errors_of(result)
    assert "not installed in old: build it with pytest-lem[transformers]" in said


def test_without_a_runtime_both_are_named(run, errors_of, tmp_path, monkeypatch):
    """Each with what is wrong with it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run(SOURCE, "--lem-backend=fake", "--lem-image=fake")
    (said,) = errors_of(result)
    assert "docker is not installed; podman is not installed" in said
