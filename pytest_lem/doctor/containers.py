"""Checks of containers: what runs them, their way to GPUs, and each image named."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from functools import partial

from pytest_lem.doctor import Check, Look, State, Subject
from pytest_lem.engines.registry import EngineEntry, Registry, lacking
from pytest_lem.errors import ConfigError, EngineNotAvailable
from pytest_lem.spec.compat import beside
from pytest_lem.worker.devices import environment_for, granted
from pytest_lem.worker.launch import image, runtime
from pytest_lem.worker.launch.runtime import Runtime

_ASKED_WITHIN_S = 20.0
_CUDA_WITHIN_S = 25.0
_LABEL = "pytest-lem"
_TOOLKIT = "nvidia-container-runtime-hook"
_REMEDIES = {
    "podman": "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml, and anew "
    "after updates of the driver",
    "docker": "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl "
    "restart docker",
}
_SPECIFICATIONS = ("etc/cdi", "var/run/cdi", "run/cdi")


def looks(subject: Subject) -> Mapping[str, Look]:
    """What runs containers, and a look at each image that was named.

    Raises ConfigError for an unknown backend.
    """
    registry = Registry()
    named = {registry.find(name): one for name, one in subject.images.items()}
    return {
        "containers": partial(_command, subject),
        "leftover containers": partial(_left, subject),
        "GPUs in containers": partial(_toolkit, subject),
        **{
            f"image {entry.name}": partial(_image, entry, one or entry.image, subject)
            for entry, one in named.items()
        },
    }


def _needed(subject: Subject) -> State:
    """What the lack of something is that only `--lem-image` needs."""
    return "failed" if subject.images else "skipped"


def _command(subject: Subject) -> Iterator[Check]:
    check = partial(Check, name="containers")
    try:
        found = runtime.find(subject.container)
    except ConfigError as error:
        yield check(
            state=_needed(subject),
            found=f"{error.message}; only --lem-image needs one",
            remedy="install docker or podman; start docker's daemon, join its group",
        )
        return
    yield check(state="ok", found=f"{found}, {found.command}")


def _left(subject: Subject) -> Iterator[Check]:
    """Containers of sessions that are gone, by the label that each of ours has."""
    check = partial(Check, name="leftover containers")
    try:
        by = runtime.find(subject.container)
    except ConfigError as error:
        yield check(state="skipped", found=error.message)
        return
    try:
        listed = by.ask(
            "ps", "--all", f"--filter=label={_LABEL}", "--format={{.Names}}"
        )
        wanted = f'--format={{{{index .Config.Labels "{_LABEL}"}}}}'
        owners = {
            one: by.ask("container", "inspect", wanted, one) for one in listed.split()
        }
    except ConfigError as error:
        yield check(
            state="warning",
            found=error.message,
            remedy=f"see what `{by.command} ps --all` waits for",
        )
        return
    there = subject.root / "proc"
    gone = [
        one
        for one, owner in owners.items()
        if not (there / owner.rpartition("-")[2]).exists()
    ]
    if gone:
        names = " ".join(gone)
        yield check(
            state="failed",
            found=f"{names} have outlived their session",
            remedy=f"{by.command} rm --force {names}",
        )
        return
    yield check(state="ok", found="none")


def _toolkit(subject: Subject) -> Iterator[Check]:
    """Whether the command that runs containers can give them GPUs."""
    check = partial(Check, name="GPUs in containers")
    if not subject.gpus:
        yield check(state="skipped", found="no GPU")
        return
    try:
        found = runtime.find(subject.container)
    except ConfigError:
        yield check(state=_needed(subject), found="nothing runs containers")
        return
    podman = found.kind == "podman"
    way = _specification(subject) if podman else _hook(found)
    if way is None:
        yield check(
            state="failed" if subject.images else "warning",
            found=f"{found} has no way to NVIDIA's GPUs; only --lem-image needs one",
            remedy=f"install NVIDIA's container toolkit; {_REMEDIES[found.kind]}",
        )
        return
    yield check(state="ok", found=f"{found} by {way}")


def _specification(subject: Subject) -> str | None:
    """The file by which podman knows NVIDIA's GPUs."""
    for folder in _SPECIFICATIONS:
        for path in sorted((subject.root / folder).glob("*.[jy]*")):
            if "nvidia.com/gpu" in path.read_text(errors="replace"):
                return str(path)
    return None


def _hook(docker: Runtime) -> str | None:
    """What docker has of NVIDIA's toolkit, whose hook `--gpus` calls."""
    try:
        if "nvidia" in docker.ask("info", "--format={{json .Runtimes}}"):
            return "NVIDIA's runtime"
    except ConfigError:
        return None
    return _TOOLKIT if shutil.which(_TOOLKIT) else None


def _image(entry: EngineEntry, name: str, subject: Subject) -> Iterator[Check]:
    """Whether an image has the engine and this package, and CUDA starts in it."""
    check = partial(Check, name=f"image {entry.name}")
    modules = [*entry.requires, entry.target.partition(":")[0]]
    try:
        by = runtime.find(subject.container)
        has = image.ask(
            name,
            by,
            modules=modules,
            packages=beside(entry.name),
            arguments=subject.arguments,
            timeout_s=_ASKED_WITHIN_S,
        )
    except (ConfigError, EngineNotAvailable) as error:
        yield check(
            state="failed",
            found=error.message,
            remedy="build it (docs/environments.md), or give its `run` what it needs "
            "here by --container-args",
        )
        return
    if problem := lacking(entry, has.missing, image=name):
        found, _, remedy = problem.partition(": ")
        remedy = remedy or "build it anew (docs/environments.md)"
        yield check(state="failed", found=found, remedy=remedy)
        return
    versions = ", ".join(f"{k} {v}" for k, v in has.packages.items() if v)
    yield check(state="ok", found=f"{name}: {versions} (Python {has.version}, {by})")
    for one in subject.gpus:
        yield _cuda(entry.name, has, subject, one.uuid)


def _cuda(backend: str, one: image.Image, subject: Subject, gpu: str) -> Check:
    """Whether CUDA starts in a container that is given this GPU."""
    check = partial(Check, name=f"GPU in image {backend}")
    container = f"lem-doctor-{uuid.uuid4().hex[:12]}"
    told = {**granted([gpu]), **environment_for([gpu])}
    command = [
        *(one.runtime.command, "run", "--rm", "--pull=never"),
        *("--security-opt=no-new-privileges", f"--name={container}"),
        *one.runtime.user(),
        *one.runtime.gpus([gpu]),
        *(f"--env={name}={value}" for name, value in told.items()),
        *subject.arguments,
        *("--entrypoint=python3", one.id, "-P", "-m", "pytest_lem.worker.cuda"),
    ]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CUDA_WITHIN_S,
            check=False,
        )
        seen = done.stdout.split()
        why = (done.stderr.strip().splitlines() or ["it sees no GPU"])[-1]
    except subprocess.TimeoutExpired:
        one.runtime.remove(container)
        seen, why = [], f"no answer within {_CUDA_WITHIN_S:.0f} s"
    if seen == [gpu.partition("-")[2]]:
        return check(state="ok", found=f"CUDA starts on {gpu}")
    return check(
        state="failed",
        found=f"CUDA does not start on {gpu}: {why}",
        remedy="compare `GPUs in containers` and `CUDA` above; a container cannot have "
        "more than the driver outside gives",
    )
