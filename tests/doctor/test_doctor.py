"""`lem doctor`: what is found on machines in all sorts of states, and the remedy."""

import json
import os
import subprocess
import sys
import threading
from collections import namedtuple

import pytest
from typer.testing import CliRunner

from pytest_lem.cli import app
from pytest_lem.doctor import Check, Subject, at_once, engines, gpus, host, leftovers
from pytest_lem.machine.gpu import Gpu, absence, discover
from pytest_lem.report.doctor import lines

ONE = Gpu(index=0, uuid="GPU-0", name="H100", cuda_version="13.0")
no_gpu = pytest.mark.skipif(absence() is None, reason="a GPU is here")


def told(checks):
    return [(one.state, one.found) for one in checks]


def plain(name):
    return lambda: [Check(name=name, state="ok", found="fine")]


def test_a_check_that_hangs_or_fails_keeps_no_other_from_its_answer():
    """In their order, and no later than the limit."""
    never = threading.Event()

    def broken():
        raise OSError("no such thing")

    looks = {"a": plain("a"), "b": never.wait, "c": broken, "d": plain("d")}
    found = list(at_once(looks, 0.3))
    never.set()
    assert [(one.name, one.state) for one in found] == [
        ("a", "ok"),
        ("b", "failed"),
        ("c", "failed"),
        ("d", "ok"),
    ]
    assert found[1].found == "no answer within 0 s"
    assert found[2].found.endswith("OSError: no such thing")
    assert all(one.remedy for one in found if one.state == "failed")


@no_gpu
def test_a_gpu_without_a_driver_fails_and_a_machine_without_gpus_does_not(tmp_path):
    """The PCI bus knows better than the driver."""
    assert gpus.driver(tmp_path).state == "skipped"
    for place, (vendor, kind) in enumerate(
        [("0x10de", "0x030200"), ("0x10de", "0x040300"), ("0x1002", "0x030000")]
    ):
        folder = tmp_path / f"sys/bus/pci/devices/0000:0{place}:00.0"
        folder.mkdir(parents=True)
        (folder / "vendor").write_text(f"{vendor}\n")
        (folder / "class").write_text(f"{kind}\n")
    check = gpus.driver(tmp_path)
    assert check.state == "failed"
    assert check.found.endswith("and 1 of NVIDIA's GPUs on the PCI bus")
    assert "--gpus all" in check.remedy


def test_a_driver_tells_its_versions_or_why_it_does_not(driver, tmp_path, monkeypatch):
    """What it refuses is told as it says it."""
    simulated = driver([300.0])
    simulated.nvmlSystemGetCudaDriverVersion_v2 = lambda: 12080
    check = gpus.driver(tmp_path)
    assert (check.state, check.found) == ("ok", "NVIDIA 1.2, for CUDA up to 12.8")

    def mismatch():
        raise simulated.NVMLError(18)

    monkeypatch.setattr(simulated, "nvmlInit", mismatch)
    check = gpus.driver(tmp_path)
    assert (check.state, check.found) == (
        "failed",
        "the NVIDIA driver refuses (code 18)",
    )


def test_settings_of_gpus_that_disturb_are_told_with_their_command(driver):
    """Persistence and compute mode; a GPU without fault is listed."""
    simulated = driver([300.0, 300.0, 300.0])
    simulated.nvmlDeviceGetPersistenceMode = lambda handle: int(handle != 0)
    simulated.nvmlDeviceGetComputeMode = lambda handle: 2 if handle == 1 else 0
    found = list(gpus.listed(Subject(gpus=discover())))
    assert [one.state for one in found] == ["warning", "failed", "ok"]
    assert found[0].remedy == "sudo nvidia-smi -i 0 -pm 1"
    assert found[1].remedy == "sudo nvidia-smi -i 1 -c DEFAULT"
    assert found[2].found == "Simulated, GPU-2"


def test_each_gpu_s_energy_is_read_by_whoever_asks(driver):
    """A missing counter is a warning where there is power, a refusal is none."""
    simulated = driver([300.0, 300.0, 300.0], no_counter=[1])
    simulated.fails = {2: simulated.NVML_ERROR_NO_PERMISSION}
    found = list(gpus.counters(Subject(gpus=discover())))
    assert [one.state for one in found] == ["ok", "warning", "failed"]
    assert found[1].found == "GPU-1: no counter (code 3); power is added up instead"
    assert "neither energy nor power can be read (code 4)" in found[2].found


def test_variables_that_contradict_the_machine_are_told(monkeypatch):
    """By the same words as a run would be refused with."""
    monkeypatch.delenv("NVIDIA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    (check,) = gpus.visible(Subject(gpus=[ONE]))
    assert check.state == "failed"
    assert check.found.startswith("CUDA_VISIBLE_DEVICES=7 hides all 1 GPUs")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    (check,) = gpus.visible(Subject(gpus=[ONE]))
    assert (check.state, check.found[:6]) == ("ok", "1 of 1")
    (check,) = gpus.visible(Subject())
    assert check.found.startswith("CUDA_VISIBLE_DEVICES=0 names a GPU, and no NVIDIA")


def test_device_files_that_are_missing_are_named(driver, tmp_path):
    """By the number of the file, which is not the index."""
    simulated = driver([300.0])
    simulated.nvmlDeviceGetMinorNumber = lambda handle: handle + 3
    subject = Subject(gpus=discover(), root=tmp_path)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    assert told(gpus.files(subject)) == [
        ("warning", "/dev/nvidia-uvm is missing, /dev/nvidia3 is missing")
    ]
    for name in ("nvidia-uvm", "nvidia3"):
        (tmp_path / "dev" / name).touch()
    assert told(gpus.files(subject)) == [("ok", "3 can be opened")]


@no_gpu
def test_a_gpu_on_which_cuda_does_not_start_is_told():
    """As a worker's own start would tell it."""
    (check,) = gpus.cuda(Subject(gpus=[ONE]))
    assert check.state == "failed"
    assert check.found.startswith("does not start on GPU-0: OSError: libcuda.so.1")


@pytest.mark.usefixtures("cuda_driver")
def test_a_gpu_on_which_cuda_starts_is_told():
    """By the very UUID that a worker of it would be given."""
    uuid = f"GPU-{'-'.join('28' * n for n in (4, 2, 2, 2, 6))}"
    one = Gpu(index=0, uuid=uuid, name="H100")
    hidden = Gpu(index=1, uuid="GPU-63", name="H100")
    assert told(gpus.cuda(Subject(gpus=[one, hidden]))) == [
        ("ok", f"starts on {uuid}"),
        ("failed", "does not start on GPU-63: it sees no GPU"),
    ]


@pytest.mark.gpu
@pytest.mark.skipif(absence() is not None, reason=str(absence()))
def test_cuda_starts_on_each_real_gpu():
    """Each by itself."""
    found = list(gpus.cuda(Subject(gpus=discover())))
    assert found
    assert {one.state for one in found} == {"ok"}


def test_who_else_is_on_a_gpu_is_named(driver):
    """A warning; nobody is fine where the driver can tell."""
    simulated = driver([300.0])
    simulated.processes = {0: [1]}
    (check,) = gpus.tenants(Subject(gpus=discover()))
    assert (check.state, check.found) == ("warning", "1 (busy-1, compute) on GPU-0")
    assert "--lem-require-exclusive" in check.remedy


@pytest.fixture
def process(tmp_path):
    """Start a process with these arguments behind it, as a worker has them."""
    started = []

    def process(*arguments):
        script = tmp_path / "sleep.py"
        script.write_text("import sys\nprint(flush=True)\nsys.stdin.read()\n")
        command = [sys.executable, script, *arguments]
        one = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        one.stdout.readline()
        started.append(one)
        return one.pid

    yield process
    for one in started:
        one.communicate()


def test_a_worker_whose_session_is_gone_is_left_over(process):
    """One of a session that runs is not."""
    running = process("-m", "pytest_lem.worker", "--parent", str(os.getpid()))
    left = process("-m", "pytest_lem.worker", "--parent", "99999999")
    (check,) = leftovers.workers(Subject())
    assert check.state == "failed"
    assert str(left) in check.found.split()
    assert str(running) not in check.found.split()
    assert check.remedy.startswith("kill -9 ")


def test_power_of_the_cpu_is_told_as_the_meter_tells_it(tmp_path):
    """With its remedy apart."""
    (check,) = host.rapl(Subject(root=tmp_path))
    assert check.state == "warning"
    assert check.found.startswith(f"{tmp_path}/sys/class/powercap is absent:")
    assert "bind mount" in check.remedy
    zone = tmp_path / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    for name, value in (("name", "package-0"), ("energy_uj", "9"), ("max_", "1")):
        (zone / name).write_text(value)
    assert told(host.rapl(Subject(root=tmp_path))) == [("ok", "reads package-0")]
    assert told(host.perf(Subject(root=tmp_path))) == [
        ("skipped", "the kernel offers no power events")
    ]


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("free_gb", "count", "state"),
    [(24, 2, "ok"), (2, 2, "warning"), (0.06, 1, "warning"), (0.06, 2, "failed")],
)
def test_shared_memory_is_needed_by_several_gpus(
    monkeypatch, tmp_path, free_gb, count, state
):
    """Eight GB as is told everywhere; the default of containers is 64 MB."""
    usage = Usage(0, 0, free_gb * 1e9)
    monkeypatch.setattr(host.shutil, "disk_usage", lambda path: usage)
    (check,) = host.shared_memory(Subject(gpus=[ONE] * count, root=tmp_path))
    assert check.state == state
    assert state == "ok" or "--shm-size=8g" in check.remedy


@pytest.mark.parametrize(
    ("free_gb", "states"),
    [
        (50, ["ok", "ok", "ok"]),
        (5, ["ok", "ok", "warning"]),
        (0.5, ["failed", "failed", "failed"]),
    ],
)
def test_disks_are_looked_at_where_things_are_written(monkeypatch, free_gb, states):
    """Results, what is made here, and what is downloaded."""
    usage = Usage(0, 0, free_gb * 1e9)
    monkeypatch.setattr(host.shutil, "disk_usage", lambda path: usage)
    monkeypatch.setenv("HF_HOME", "/nowhere/yet")
    monkeypatch.setattr(host.os, "access", lambda path, mode: True)
    found = list(host.disk(Subject()))
    assert [one.state for one in found] == states
    assert "models (/nowhere/yet): " in found[2].found
    monkeypatch.setattr(host.os, "access", lambda path, mode: False)
    assert {one.state for one in host.disk(Subject())} == {"failed"}


@pytest.fixture
def engine(tmp_path):
    """What is told of an engine under a Python that has this module in front."""

    def engine(name, source=None, **more):
        (tmp_path / f"{name}.py").write_text(source or "")
        script = tmp_path / "python"
        script.write_text(
            f'#!/bin/sh\nexport PYTHONPATH="{tmp_path}:$PYTHONPATH"\n'
            f'exec {sys.executable} "$@"\n'
        )
        script.chmod(0o755)
        subject = Subject(pythons={name: str(script)}, **more)
        return list(engines.looks(subject)[f"engine {name}"]())

    return engine


def test_an_engine_that_is_there_and_broken_is_told(engine):
    """It is imported, in a process of its own, and not only looked up."""
    told = "raise ImportError('libcudart.so.13: cannot open shared object file')"
    check, *_ = engine("vllm", told)
    assert (check.name, check.state) == ("engine vllm", "failed")
    assert check.found.startswith("does not import: ImportError: libcudart.so.13")


def test_an_engine_that_hangs_is_told(engine, monkeypatch):
    """After its own limit."""
    monkeypatch.setattr(engines, "_WITHIN_S", 0.5)
    check, *_ = engine("vllm", "import time\ntime.sleep(60)")
    assert (check.state, check.found[:29]) == (
        "failed",
        "does not import: no answer wi",
    )


def test_an_engine_that_is_not_there_matters_where_it_was_named(tmp_path):
    """Every environment lacks one; a Python that was named is to have it."""
    subject = Subject(pythons={"vllm": str(tmp_path / "python")})
    (check,) = engines.looks(subject)["engine vllm"]()
    assert (check.state, check.found) == ("failed", f"{tmp_path}/python does not exist")
    with_plugin_only = CliRunner().invoke(app, ["doctor", "--python", "vlm=/x"])
    assert with_plugin_only.exit_code == 2
    assert "did you mean 'vllm'" in with_plugin_only.stderr


def test_an_engine_that_has_an_image_is_not_looked_for_here():
    """By whichever of its names."""
    looks = engines.looks(Subject(images={"pytorch": "x"}))
    assert "engine vllm" in looks
    assert "engine transformers" not in looks


TORCH = """
class version:
    cuda = {cuda!r}
__version__ = "9.9"
"""


@pytest.mark.parametrize(
    ("cuda", "state"),
    [
        ("12.4", "ok"),
        ("13.0", "ok"),
        ("13.2", "warning"),
        ("14.0", "failed"),
        (None, "failed"),
        ("13", "ok"),
    ],
)
def test_the_cuda_of_an_engine_is_held_against_the_driver_s(engine, cuda, state):
    """A newer generation does not run; a newer version of one mostly does."""
    source = "import sys\nclass torch:\n" + "".join(
        f"    {line}\n" for line in TORCH.format(cuda=cuda).strip().splitlines()
    )
    found = engine("vllm", f"{source}sys.modules['torch'] = torch\n", gpus=[ONE])
    check = found[-1]
    assert (check.name, check.state) == ("CUDA of vllm", state)
    assert bool(check.remedy) == (state != "ok")


def test_the_command_ends_by_what_failed_and_each_failure_has_its_remedy(tmp_path):
    """Status 1 where a check failed; JSON has a line for each."""
    arguments = ["doctor", "--json", "--python", f"vllm={tmp_path}/python"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert {"name", "state", "found", "remedy"} == set(found[0])
    states = {one["name"]: one["state"] for one in found}
    assert {"driver", "GPUs", "leftover workers", "disk"} <= set(states)
    assert states["engine vllm"] == "failed"
    assert all(one["remedy"] for one in found if one["state"] in ("failed", "warning"))


def test_people_are_shown_a_table_with_remedies_below_and_a_summary():
    """As wide as the terminal; what does not print cannot act on it."""
    checks = [
        Check(name="driver", state="failed", found="gone\x1b[2J", remedy="look " * 30),
        Check(name="disk", state="ok", found="fine"),
    ]
    *table, summary = lines(checks, 80)
    assert "driver   failed   gone\\x1b[2J" in "\n".join(table)
    assert any(line.strip().startswith("-> look look") for line in table)
    assert max(map(len, table)) <= 80
    assert summary == "1 failed, 0 warnings"
