"""Containers as `lem doctor` sees them, with stand-ins for docker and podman."""

import os
import sys
from pathlib import Path

import pytest

from pytest_lem.doctor import Subject, containers
from pytest_lem.errors import ConfigError
from pytest_lem.machine.gpu import Gpu

SHAM = Path(__file__).parents[1] / "data" / "sham_podman.py"
DOCKER = """#!/bin/sh
case "$1" in
    --version) echo "Docker version 27.1.0" ;;
    version) {version} ;;
    info) echo '{runtimes}' ;;
esac
"""


def uuid_of(device):
    return f"GPU-{'-'.join(f'{device:02x}' * n for n in (4, 2, 2, 2, 6))}"


def gpu(device):
    return Gpu(index=0, uuid=uuid_of(device), name="H100")


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Make the only command on the path that runs containers; its folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name, text):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)

    return make


@pytest.fixture
def podman(command):
    """A stand-in that runs its containers as processes, of this Python."""
    command("podman", f"#!{sys.executable}\n{SHAM.read_text()}")


def look(name, **subject):
    return list(containers.looks(Subject(**subject))[name]())


def test_what_runs_containers_matters_where_an_image_was_named(command):
    """Whoever needs none is not told off."""
    (check,) = look("containers")
    assert check.state == "skipped"
    assert check.found.startswith("docker is not installed; podman is not installed")
    (check,) = look("containers", images={"fake": "lem-fake"})
    assert check.state == "failed"
    dead = "echo Cannot connect to the Docker daemon >&2; exit 1"
    command("docker", DOCKER.format(version=dead, runtimes="{}"))
    (check,) = look("containers", images={"fake": "lem-fake"})
    assert "Cannot connect to the Docker daemon" in check.found
    assert "start docker's daemon" in check.remedy
    with pytest.raises(ConfigError, match="backend 'none' is unknown"):
        containers.looks(Subject(images={"none": "x"}))


@pytest.mark.parametrize(
    ("runtimes", "state"), [('{"runc":{}}', "warning"), ('{"nvidia":{}}', "ok")]
)
def test_docker_needs_nvidia_s_runtime_for_gpus(command, runtimes, state):
    """Its remedy is the toolkit's own command."""
    command("docker", DOCKER.format(version="echo 27.1.0", runtimes=runtimes))
    (check,) = look("GPUs in containers", gpus=[gpu(40)])
    assert check.state == state
    assert state == "ok" or "nvidia-ctk runtime configure" in check.remedy
    (check,) = look("GPUs in containers")
    assert (check.state, check.found) == ("skipped", "no GPU")


def test_podman_needs_a_specification_of_gpus(podman, tmp_path):
    """Anywhere that CDI looks for one."""
    subject = {"gpus": [gpu(40)], "root": tmp_path, "images": {"fake": "lem-fake"}}
    (check,) = look("GPUs in containers", **subject)
    assert check.state == "failed"
    assert "nvidia-ctk cdi generate" in check.remedy
    (tmp_path / "etc/cdi").mkdir(parents=True)
    (tmp_path / "etc/cdi/nvidia.yaml").write_text("kind: nvidia.com/gpu\n")
    (check,) = look("GPUs in containers", **subject)
    assert check.found == f"podman 4.9.3 by {tmp_path}/etc/cdi/nvidia.yaml"


@pytest.mark.usefixtures("cuda_driver")
def test_an_image_is_asked_what_it_has_and_cuda_starts_in_it(podman):
    """On each GPU by itself; what it sees there is told where it is another."""
    subject = {"images": {"fake": "lem-fake"}, "gpus": [gpu(40), gpu(99)]}
    image, good, bad = look("image fake", **subject)
    assert (image.state, image.name) == ("ok", "image fake")
    assert (good.state, good.found) == ("ok", f"CUDA starts on {uuid_of(40)}")
    assert bad.state == "failed"
    assert bad.found.startswith(f"CUDA does not start on {uuid_of(99)}: ")
    assert good.name == bad.name == "GPU in image fake"


LISTS = """#!/bin/sh
case "$1 $2" in
    "ps --all") echo lem-fake-1 lem-fake-2 ;;
    "container inspect")
        [ "$4" = lem-fake-1 ] && echo then-99999999 || echo now-{ours} ;;
    *) echo podman version 4.9.3 ;;
esac
"""


def test_a_container_whose_session_is_gone_is_left_over(command):
    """One of a session that runs is not; where nothing runs containers none can be."""
    assert look("leftover containers")[0].state == "skipped"
    command("podman", LISTS.format(ours=os.getpid()))
    (check,) = look("leftover containers")
    assert check.state == "failed"
    assert check.found == "lem-fake-1 have outlived their session"
    assert check.remedy.endswith("podman rm --force lem-fake-1")


def test_an_image_that_is_not_there_is_told(podman):
    """In the words of the run that would fail."""
    (check,) = look("image fake", images={"fake": "gone"})
    assert check.state == "failed"
    assert check.found.startswith("podman has no image gone: pull or build it first")
