"""Facts of the machine: real files, real git, real hanging pipes."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pytest_lem.machine import container, environment

PARTS = [
    "cpu",
    "memory",
    "os",
    "container",
    "packages",
    "python",
    "clock",
    "variables",
]


@pytest.fixture
def root(tmp_path):
    """A file system with the files of a small Linux machine."""
    files = {
        "proc/cpuinfo": "\n\n".join(
            f"processor\t: {n}\nmodel name\t: Test CPU 9000\ncpu MHz\t\t: 2400.5\n"
            f"physical id\t: 0\ncore id\t\t: {n // 2}"
            for n in range(4)
        ),
        "proc/meminfo": "MemTotal:       1000000 kB\nMemFree: 1 kB\n",
        "etc/os-release": 'NAME="Test"\nPRETTY_NAME="Test Linux 1.0"\n',
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "3100000\n",
        "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
        "proc/1/cgroup": "0::/init.scope\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_variables_that_engines_obey_are_kept_without_secrets(monkeypatch):
    """Threads and kernels are in the record, tokens and the rest are not."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setenv("VLLM_API_KEY", "hidden")
    monkeypatch.setenv("HF_TOKEN", "hidden")
    found = environment.collect()["variables"]
    assert found["OMP_WAIT_POLICY"] == "PASSIVE"
    assert found["VLLM_API_KEY"] == environment.MASKED
    assert "HF_TOKEN" not in found


def test_facts_come_from_the_kernels_files(root):
    """Each fact has the value and the unit that its key promises."""
    found = environment.collect(root=root)
    assert found["cpu"] == {
        "model": "Test CPU 9000",
        "cores_physical": 2,
        "cores_logical": os.cpu_count(),
        "governor": "performance",
        "frequency_mhz": 3100.0,
    }
    assert found["memory"] == {"total_mb": 1024.0}
    assert found["os"]["distribution"] == "Test Linux 1.0"
    assert found["os"]["system"] == "Linux"
    assert found["clock"] == {"source": "tsc"}
    assert found["incomplete"] == {}


def test_frequency_is_read_from_cpuinfo_where_there_is_no_scaling(root):
    """A machine without cpufreq still has the frequency that the kernel prints."""
    for file in (root / "sys/devices/system/cpu/cpu0/cpufreq").iterdir():
        file.unlink()
    cpu = environment.collect(root=root)["cpu"]
    assert (cpu["frequency_mhz"], cpu["governor"]) == (2400.5, None)


def test_absent_facts_are_null_and_keys_stay(tmp_path):
    """On an empty file system nothing fails, and what is unknown is null."""
    found = environment.collect(root=tmp_path)
    assert set(found) == {*PARTS, "cuda", "gpu", "incomplete"}
    assert found["cpu"]["governor"] is None
    assert found["cpu"]["cores_physical"] is None
    assert found["memory"] == {"total_mb": None}
    assert found["clock"] == {"source": None}
    assert found["cuda"] == {"driver_version": None, "cuda_version": None}
    assert found["gpu"] == []
    assert found["incomplete"] == {}


def test_this_machine_is_described_in_plain_json():
    """The real collection survives a trip through JSON, with this interpreter in it."""
    found = environment.collect()
    assert json.loads(json.dumps(found)) == found
    assert found["python"]["executable"] == sys.executable
    assert found["packages"]["pytest"] == pytest.__version__
    assert found["memory"]["total_mb"] > 0


def test_packages_are_not_imported():
    """Versions come from metadata: torch is listed and stays out of the process."""
    code = (
        "import sys; from pytest_lem.machine.environment import collect; "
        "assert 'torch' in collect()['packages']; "
        "heavy = {'torch', 'numpy', 'transformers', 'pydantic', 'psutil'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    pytest.importorskip("torch")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_part_that_hangs_is_null_and_named(root):
    """A pipe without a writer in place of a file costs its part and nothing else."""
    meminfo = root / "proc/meminfo"
    meminfo.unlink()
    os.mkfifo(meminfo)
    try:
        found = environment.collect(timeout_s=0.5, root=root)
    finally:
        with meminfo.open("w"):
            pass
    assert found["memory"] is None
    assert found["incomplete"] == {"memory": "no answer within 0.5 s"}
    assert found["cpu"]["model"] == "Test CPU 9000"


def test_parts_that_hang_share_one_limit(root):
    """Three hanging parts wait together, not one after the other."""
    names = ["proc/meminfo", "proc/cpuinfo", "etc/os-release"]
    for name in names:
        (root / name).unlink()
        os.mkfifo(root / name)
    start = time.monotonic()
    try:
        found = environment.collect(timeout_s=1.0, root=root)
        duration_s = time.monotonic() - start
    finally:
        for name in names:
            with (root / name).open("w"):
                pass
    assert set(found["incomplete"]) == {"memory", "cpu", "os"}
    assert duration_s < 2.5


def test_a_late_part_does_not_change_the_answer(root):
    """What was returned stays as it was when the hanging part ends after all."""
    meminfo = root / "proc/meminfo"
    meminfo.unlink()
    os.mkfifo(meminfo)
    before = set(threading.enumerate())
    found = environment.collect(timeout_s=0.3, root=root)
    late = set(threading.enumerate()) - before
    assert len(late) == 1
    with meminfo.open("w") as pipe:
        pipe.write("MemTotal: 1000000 kB\n")
    late.pop().join(5)
    assert found["memory"] is None
    assert "memory" in found["incomplete"]


def test_unreadable_facts_are_null(root):
    """A directory in place of a file, and text without the number, are null."""
    clock = root / "sys/devices/system/clocksource/clocksource0/current_clocksource"
    clock.unlink()
    clock.mkdir()
    (root / "proc/meminfo").write_bytes(b"\xff\xfe MemTotal: nonsense")
    found = environment.collect(root=root)
    assert found["clock"] == {"source": None}
    assert found["memory"] == {"total_mb": None}


def test_a_part_that_fails_is_told():
    """The error of a failing part is its reason, and the others still answer."""

    def fail():
        raise ZeroDivisionError("by nothing")

    found, incomplete = environment._run_all({"bad": fail, "good": lambda: 1}, 5.0)
    assert found == {"bad": None, "good": 1}
    assert incomplete == {"bad": "ZeroDivisionError: by nothing"}


@pytest.mark.parametrize(
    ("files", "environ", "kind", "evidence"),
    [
        ([".dockerenv"], {}, "docker", ["/.dockerenv"]),
        (["run/.containerenv"], {}, "podman", ["/run/.containerenv"]),
        ([], {"SINGULARITY_CONTAINER": "x.sif"}, "singularity", None),
        ([".singularity.d"], {"APPTAINER_CONTAINER": "x.sif"}, "apptainer", None),
        ([".dockerenv"], {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes", None),
        ([], {"container": "lxc"}, "lxc", ["container=lxc"]),
    ],
    ids=["docker", "podman", "singularity", "apptainer", "kubernetes", "lxc"],
)
def test_containers_are_known_by_their_signs(root, files, environ, kind, evidence):
    """Each kind of container is named, with what gave it away."""
    for name in files:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    found = container.detect(root, environ)
    assert (found["detected"], found["kind"]) == (True, kind)
    assert len(found["evidence"]) == len(files) + len(environ)
    assert evidence is None or found["evidence"] == evidence


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("0::/kubepods/besteffort/pod1/abc", "kubernetes"),
        ("12:cpu:/docker/0123abc", "docker"),
        ("0::/machine.slice/libpod-0123.scope", "podman"),
        ("0::/lxc/web", "lxc"),
    ],
    ids=["kubernetes", "docker", "podman", "lxc"],
)
def test_control_groups_show_a_container(root, line, kind):
    """Where no file tells, the control groups of the first process do."""
    (root / "proc/1/cgroup").write_text(line + "\n")
    found = container.detect(root, {})
    assert found["kind"] == kind
    assert found["evidence"][0].startswith("/proc/1/cgroup: ")


def test_a_bare_machine_is_no_container(root):
    """Without signs there is no container, no kind and no evidence."""
    assert container.detect(root, {}) == {
        "detected": False,
        "kind": None,
        "evidence": [],
    }


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def test_git_tells_commit_and_changes(tmp_path):
    """A changed tracked file makes the repository dirty; an untracked one does not."""
    _git(tmp_path, "init", "-q")
    test = tmp_path / "test_x.py"
    test.write_text("one\n")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-qm", "One")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    assert environment.git(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "results.json").write_text("{}")
    assert environment.git(test) == {"commit": commit, "dirty": False}
    test.write_text("two\n")
    assert environment.git(test) == {"commit": commit, "dirty": True}


def test_git_is_null_outside_a_repository(tmp_path):
    """A plain directory has no commit."""
    assert environment.git(tmp_path) is None


def test_git_that_hangs_is_cut_off(tmp_path, monkeypatch):
    """A git that never answers gives null within the limit."""
    fake = tmp_path / "git"
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    start = time.monotonic()
    assert environment.git(tmp_path, timeout_s=0.3) is None
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("argv", "masked"),
    [
        (["--token", "abc", "-q"], ["--token", "***", "-q"]),
        (["--hf-token=abc"], ["--hf-token=***"]),
        (["HF_TOKEN=abc", "PASSWORD=x"], ["HF_TOKEN=***", "PASSWORD=***"]),
        (["--lem-set", "vllm.api_key=abc"], ["--lem-set", "vllm.api_key=***"]),
        (["--lem-set=engine.secret=abc"], ["--lem-set=engine.secret=***"]),
        (["x", "hf_abcdefghijklmnop"], ["x", "***"]),
        (
            ["--lem-store", "postgresql://me:pw@db/x"],
            ["--lem-store", "postgresql://me:***@db/x"],
        ),
    ],
    ids=["option", "equals", "variable", "nested", "twice", "hub", "url"],
)
def test_secrets_are_masked(argv, masked):
    """The recorded command line holds no value that looks like a secret."""
    assert environment.mask(argv) == masked


def test_ordinary_arguments_stay():
    """Options that only sound alike, and model names, are left as they are."""
    argv = [
        "pytest",
        "-k",
        "token",
        "--keyword=x",
        "--lem-model=synthetic:llama-tiny",
        "--lem-set",
        "workload.output_tokens=8",
        "--tokenizer=fast",
        "--token",
        "--verbose",
    ]
    assert environment.mask(argv) == argv


def test_a_command_line_that_is_no_utf8_can_be_written():
    """Undecodable bytes of an argument become escapes, and the rest stays."""
    (told,) = environment.mask(["tests/caf\udce9"])
    assert told == "tests/caf\\udce9"
    told.encode()
