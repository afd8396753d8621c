"""What containers are given, in the dialects of docker and podman."""

import os
from pathlib import Path

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.worker.launch.housing import Housing, hub_cache, passed_on, paths_in
from pytest_lem.worker.launch.image import Image
from pytest_lem.worker.launch.runtime import Runtime, find
from pytest_lem.worker.launch.secret import token_file, without_token

GPUS = ("GPU-1", "GPU-2")


def runtime(kind):
    return Runtime(command=f"/bin/{kind}", kind=kind, version="1")


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    """The arguments of `run` for a container of that runtime."""
    monkeypatch.setenv("LEM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))

    def arguments(kind="docker", **housing):
        image = Image(
            name="x", id="1", runtime=runtime(kind), version="", missing=(), packages={}
        )
        home = tmp_path / "cache" / "home"
        told = Housing(owner="me", **housing)
        return told.arguments_for("lem-x", image, home=home, secret=None)

    return arguments


def test_each_runtime_is_told_gpus_its_own_way(arguments):
    """Those of the run by UUID, in its order, and none where it has none."""
    told = arguments("docker", gpus=GPUS)
    assert told[told.index("--gpus") + 1] == '"device=GPU-1,GPU-2"'
    told = arguments("podman", gpus=GPUS)
    devices = [one for one in told if one.startswith("--device")]
    assert devices == [f"--device=nvidia.com/gpu={one}" for one in GPUS]
    for told in (arguments("docker", gpus=GPUS), arguments("podman", gpus=GPUS)):
        assert "--env=NVIDIA_VISIBLE_DEVICES=GPU-1,GPU-2" in told
        assert "--env=NVIDIA_DRIVER_CAPABILITIES=compute,utility" in told
    for told in (arguments("docker"), arguments("podman")):
        assert not [one for one in told if one.startswith(("--gpus", "--device"))]
        assert "--env=NVIDIA_VISIBLE_DEVICES=void" in told


@pytest.mark.parametrize(("uid", "more"), [(0, []), (1000, ["--userns=keep-id"])])
def test_files_are_the_caller_s_in_either_runtime(monkeypatch, uid, more):
    """podman without root maps that number only where it is told to."""
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setattr(os, "getgid", lambda: 7)
    assert runtime("docker").user() == [f"--user={uid}:7"]
    assert runtime("podman").user() == [f"--user={uid}:7", *more]


def test_the_user_s_arguments_come_last_and_may_share_memory(arguments):
    """`--ipc` and a size of the shared memory exclude each other."""
    assert arguments(arguments=["--ipc=host"])[-1] == "--ipc=host"
    assert "--shm-size=8g" not in arguments(arguments=["--ipc=host"])
    assert "--shm-size=8g" in arguments(arguments=["--network=none"])


def test_paths_are_mounted_inside_out_and_only_some_for_writing(arguments, tmp_path):
    """An outer path after an inner one would hide it."""
    out, model = tmp_path / "out", tmp_path / "models" / "a"
    told = arguments(readable=[model, model.parent], writable=[out])
    mounts = [one for one in told if one.startswith("--mount=")]
    assert f"--mount=type=bind,source={out},target={out}" in mounts
    assert out.is_dir()
    inner, outer = (
        mounts.index(f"--mount=type=bind,source={one},target={one},readonly")
        for one in (model, model.parent)
    )
    assert outer < inner
    with pytest.raises(ConfigError, match="its name has a comma"):
        arguments(readable=[Path("/a,b")])


def test_variables_go_in_where_they_mean_the_same():
    """No secret, no path, nothing that tells of the machine around."""
    environ = {
        "OMP_NUM_THREADS": "4",
        "VLLM_LOGGING_LEVEL": "DEBUG",
        "HF_ENDPOINT": "https://hub.example",
        "VLLM_API_KEY": "x",
        "VLLM_CACHE_ROOT": "/data",
        "CUDA_HOME": "cuda",
        "NVIDIA_REQUIRE_CUDA": "cuda>=12",
        "HF_TOKEN": "x",
        "EDITOR": "ed",
    }
    assert passed_on(environ) == [*environ][:3]


def test_paths_are_found_anywhere_in_a_spec(tmp_path, monkeypatch):
    """What exists, as it was written and where links lead; no home directory."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    told = {"model": str(link), "engine": {"a": ["/no/such", {"b": "."}], "c": 1}}
    monkeypatch.chdir(tmp_path)
    assert paths_in(told) == {link, tmp_path}
    with pytest.raises(ConfigError, match="'~/x' is another path in a container"):
        paths_in({"adapter": "~/x"})


def test_the_hub_s_cache_is_where_the_hub_has_it():
    """By its own variables, the nearest first."""
    cache = {"XDG_CACHE_HOME": "/c"}
    assert hub_cache(cache) == Path("/c/huggingface/hub")
    assert hub_cache({**cache, "HF_HOME": "/h"}) == Path("/h/hub")
    assert hub_cache({"HF_HOME": "/h", "HF_HUB_CACHE": "/hub"}) == Path("/hub")


def test_a_token_is_a_file_of_its_own_or_the_user_s(tmp_path):
    """A variable wins over a file, as in the library; without either there is none."""
    (tmp_path / "token").write_text("from a file")
    home = {"HF_HOME": str(tmp_path)}
    assert token_file({"HF_HOME": str(tmp_path / "nix")}) is None
    found = token_file(home)
    assert (found.path, found.directory) == (tmp_path / "token", None)
    made = token_file({**home, "HF_TOKEN": "from a variable"})
    assert made.path.read_text() == "from a variable"
    modes = made.path.stat().st_mode & 0o777, made.directory.stat().st_mode & 0o777
    assert modes == (0o600, 0o700)
    made.path.unlink()
    made.directory.rmdir()
    assert without_token({**home, "HF_TOKEN": "x"}) == home


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("echo Docker version 28.2.2, build 1", "cannot connect"),
        ("echo GNU bash, 5.2.15", "neither docker nor podman"),
        ("echo no such luck >&2; exit 1", "no such luck"),
    ],
)
def test_a_command_that_runs_no_containers_is_told(tmp_path, said, line):
    """A client without its daemon as well."""
    command = tmp_path / "tool"
    client = '[ "$1" = version ] && { echo cannot connect >&2; exit 1; }'
    command.write_text(f"#!/bin/sh\n{client}\n{said}\n")
    command.chmod(0o755)
    with pytest.raises(ConfigError, match=line):
        find(str(command))
