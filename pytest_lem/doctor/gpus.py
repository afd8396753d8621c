"""Checks of the GPUs: driver, permissions, CUDA, and who else is there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from pytest_lem.doctor import Check, Subject
from pytest_lem.errors import ConfigError
from pytest_lem.machine.gpu import absence, ask, nvml, refusal
from pytest_lem.machine.processes import tenancies
from pytest_lem.worker.devices import environment_for, inherited, select

_NVIDIA = "0x10de"
_DISPLAYS = ("0x0300", "0x0302")
_CUDA_WITHIN_S = 40.0
_MODES: Mapping[int, tuple[str, str]] = {
    1: ("exclusive to a thread", "an engine of several processes fails"),
    2: ("prohibited", "no CUDA context can be opened"),
    3: ("exclusive to a process", "an engine of several processes fails"),
}


def driver(root: Path) -> Check:
    """Whether NVML answers, and where it does not, whether it should."""
    check = partial(Check, name="driver")
    if problem := refusal():
        return check(
            state="failed",
            found=problem,
            remedy="compare `nvidia-smi`: after an update, reload the module or reboot",
        )
    if (reason := absence()) is not None:
        there = _on_the_bus(root)
        if not there:
            found = (
                f"{reason}, and no NVIDIA GPU on the PCI bus: engines run on the CPU"
            )
            return check(state="skipped", found=found)
        return check(
            state="failed",
            found=f"{reason}, and {there} of NVIDIA's GPUs on the PCI bus",
            remedy="install NVIDIA's driver; start a container with `--gpus all` "
            "(docker) or `--device nvidia.com/gpu=all` (podman)",
        )
    with nvml() as pynvml:
        version = ask(pynvml, pynvml.nvmlSystemGetDriverVersion)
        cuda = ask(pynvml, pynvml.nvmlSystemGetCudaDriverVersion_v2)
    known = f", for CUDA up to {cuda // 1000}.{cuda % 1000 // 10}" if cuda else ""
    return check(state="ok", found=f"NVIDIA {version or 'of unknown version'}{known}")


def _on_the_bus(root: Path) -> int:
    """GPUs of NVIDIA's among the PCI devices, driver or not."""
    found = 0
    for folder in root.glob("sys/bus/pci/devices/*"):
        try:
            vendor = (folder / "vendor").read_text().strip()
            kind = (folder / "class").read_text().strip()
        except OSError:
            continue
        found += vendor == _NVIDIA and kind.startswith(_DISPLAYS)
    return found


def listed(subject: Subject) -> Iterator[Check]:
    """Each GPU, and the settings of it that disturb."""
    if not subject.gpus:
        yield Check(name="GPUs", state="skipped", found="none")
    for one in subject.gpus:
        check = partial(Check, name=f"GPU {one.index}")
        told = f"{one.name}, {one.uuid}"
        mode = None if one.mig_parent else _mode(one.uuid)
        if mode is not None and mode in _MODES:
            how, effect = _MODES[mode]
            yield check(
                state="failed" if mode == 2 else "warning",
                found=f"{told}: its compute mode is {how}: {effect}",
                remedy=f"sudo nvidia-smi -i {one.index} -c DEFAULT",
            )
        elif one.persistence_mode is False:
            yield check(
                state="warning",
                found=f"{told}: persistence mode is off: each process waits for the "
                "driver, and idle power is another before the first",
                remedy=f"sudo nvidia-smi -i {one.index} -pm 1",
            )
        else:
            yield check(state="ok", found=told)


def _mode(uuid: str) -> int | None:
    with nvml() as pynvml:
        handle = ask(pynvml, pynvml.nvmlDeviceGetHandleByUUID, uuid.encode())
        mode: int | None = ask(pynvml, pynvml.nvmlDeviceGetComputeMode, handle)
    return mode


def visible(subject: Subject) -> Iterator[Check]:
    """Whether variables and machine agree on which GPUs a run may use."""
    check = partial(Check, name="visible GPUs")
    models = {one.uuid: one.name for one in subject.gpus}
    try:
        found = select(models, environ=os.environ, asked=None)
    except ConfigError as error:
        yield check(
            state="failed",
            found=error.message,
            remedy="unset the variable, or name GPUs by UUID (`nvidia-smi -L`)",
        )
        return
    if not models:
        yield check(state="skipped", found="none")
        return
    told = f"{len(found)} of {len(models)}; a run takes {found[0]} unless --lem-gpus"
    yield check(state="ok", found=f"{told} names others")


def counters(subject: Subject) -> Iterator[Check]:
    """Whether this user may read what energy is measured with."""
    wholes = dict.fromkeys(one.mig_parent or one.uuid for one in subject.gpus)
    if not wholes:
        yield Check(name="energy counter", state="skipped", found="no GPU")
    for uuid in wholes:
        yield _counter(uuid)


def _counter(uuid: str) -> Check:
    check = partial(Check, name="energy counter")
    with nvml() as pynvml:
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid.encode())
        try:
            joules = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3
        except pynvml.NVMLError as error:
            power = ask(pynvml, pynvml.nvmlDeviceGetPowerUsage, handle)
            denied = error.value == pynvml.NVML_ERROR_NO_PERMISSION
            if denied or power is None:
                return check(
                    state="failed",
                    found=f"{uuid}: neither energy nor power can be read ({error})",
                    remedy="ask who runs this machine for access to NVML; a hypervisor "
                    "may hide it from virtual GPUs",
                )
            return check(
                state="warning",
                found=f"{uuid}: no counter ({error}); power is added up instead",
                remedy="none for this GPU: energy of short windows is less certain",
            )
    return check(state="ok", found=f"{uuid}: {joules:.0f} J since the driver started")


def files(subject: Subject) -> Iterator[Check]:
    """Whether this user may open what CUDA mostly opens; the next check decides."""
    check = partial(Check, name="device files")
    folder = subject.root / "dev"
    if not subject.gpus or (folder / "dxg").exists():
        yield check(state="skipped", found="no GPU" if not subject.gpus else "WSL")
        return
    names = ["nvidiactl", "nvidia-uvm", *sorted(map(_file, _minors(subject)))]
    wrong = []
    for name in names:
        path = folder / name
        if not os.access(path, os.R_OK | os.W_OK):
            wrong.append(
                f"/dev/{name} {'is closed to you' if path.exists() else 'is missing'}"
            )
    if wrong:
        yield check(
            state="warning",
            found=", ".join(wrong),
            remedy="`sudo nvidia-modprobe -u -c=0` makes them; `sudo chmod 0666` opens "
            "them; a container is given them with its GPUs",
        )
        return
    yield check(state="ok", found=f"{len(names)} can be opened")


def _file(minor: int) -> str:
    return f"nvidia{minor}"


def _minors(subject: Subject) -> set[int]:
    """The numbers of the files of these GPUs, which are not their indices."""
    found = set()
    with nvml() as pynvml:
        for uuid in {one.mig_parent or one.uuid for one in subject.gpus}:
            handle = ask(pynvml, pynvml.nvmlDeviceGetHandleByUUID, uuid.encode())
            minor = ask(pynvml, pynvml.nvmlDeviceGetMinorNumber, handle)
            if minor is not None:
                found.add(minor)
    return found


def cuda(subject: Subject) -> Iterator[Check]:
    """Whether CUDA starts in a worker's environment, on every GPU by itself."""
    if not subject.gpus:
        yield Check(name="CUDA", state="skipped", found="no GPU")
    for one in subject.gpus:
        yield _cuda(one.uuid)


def _cuda(uuid: str) -> Check:
    command = [sys.executable, "-P", "-m", "pytest_lem.worker.cuda"]
    environment = {**inherited(os.environ), **environment_for([uuid])}
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_CUDA_WITHIN_S,
            check=False,
        )
        seen = done.stdout.split()
        told = (done.stderr.strip().splitlines() or ["it sees no GPU"])[-1]
    except subprocess.TimeoutExpired:
        seen, told = [], f"no answer within {_CUDA_WITHIN_S:.0f} s"
    check = partial(Check, name="CUDA")
    if seen == [uuid.partition("-")[2]]:
        return check(state="ok", found=f"starts on {uuid}")
    why = f"it sees {', '.join(seen)}" if seen else told
    return check(
        state="failed",
        found=f"does not start on {uuid}: {why}",
        remedy="compare `nvidia-smi`; look for device files, compute mode and MIG "
        "above; a driver that is too old for its library needs an update",
    )


def tenants(subject: Subject) -> Iterator[Check]:
    """Who else is on the GPUs: their work would be in the energy."""
    check = partial(Check, name="other processes")
    wholes = dict.fromkeys(one.mig_parent or one.uuid for one in subject.gpus)
    if not wholes:
        yield check(state="skipped", found="no GPU")
        return
    found = tenancies(wholes)
    for uuid, one in found.items():
        if one.processes:
            yield check(
                state="warning",
                found=f"{', '.join(map(str, one.processes))} on {uuid}",
                remedy="end them, choose another GPU by --lem-gpus, or have such runs "
                "refused by --lem-require-exclusive",
            )
        elif one.processes is None:
            yield check(
                state="warning",
                found=f"unknown on {uuid}: {one.reason}",
                remedy="look on the host, where `nvidia-smi` lists all",
            )
    if all(one.processes == () for one in found.values()):
        yield check(state="ok", found="none")
