"""What computer this is: facts for the record, collected in bounded time."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_lem.machine import container

PACKAGES = (
    "pytest-lem",
    "pytest",
    "pytest-benchmark",
    "numpy",
    "scipy",
    "nvidia-ml-py",
    "codecarbon",
    "zeus",
    "torch",
    "transformers",
    "accelerate",
    "peft",
    "tokenizers",
    "safetensors",
    "vllm",
    "tensorrt-llm",
    "triton",
    "flash-attn",
    "bitsandbytes",
    "ray",
)
# What engines, their threads and their kernels read from the environment.
VARIABLES = re.compile(
    r"(OMP|KMP|GOMP|MKL|OPENBLAS|CUDA|NVIDIA|NCCL|PYTORCH|TORCH|TORCHINDUCTOR|TRITON|"
    r"VLLM|TLLM|TRTLLM|FLASHINFER|ACCELERATE|BITSANDBYTES)_\w+|"
    r"HF_HUB_OFFLINE|TRANSFORMERS_OFFLINE|TOKENIZERS_PARALLELISM|LD_PRELOAD"
)
MASKED = "***"

_SECRET_NAME = re.compile(
    r"(^|[-_.])(token|password|passwd|secret|credentials?|api[-_]?key|key|auth)$",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"\b(hf_[A-Za-z0-9]{8,}|sk-[A-Za-z0-9_-]{8,}|gh[pousr]_[A-Za-z0-9]{8,}|"
    r"github_pat_\w{8,}|glpat-[\w-]{8,}|AKIA[0-9A-Z]{12,}|xox[abprs]-[\w-]{8,})"
)
_URL_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):([^@/\s]+)@")


def collect(timeout_s: float = 10.0, *, root: Path = Path("/")) -> dict[str, Any]:
    """The record's `environment`; a fact that is absent is `None`.

    Each part has its own thread and all share one deadline: a part that hangs or fails
    is `None` and named in `incomplete` with the reason. `root` is where /proc, /sys and
    /etc are looked for. GPUs are the caller's to fill in.
    """
    parts: dict[str, Callable[[], Any]] = {
        "cpu": lambda: _cpu(root),
        "memory": lambda: _memory(root),
        "os": lambda: _os(root),
        "container": lambda: container.detect(root, os.environ),
        "packages": _packages,
        "python": _python,
        "clock": lambda: _clock(root),
        "variables": _variables,
    }
    found, incomplete = _run_all(parts, timeout_s)
    return {
        **found,
        "cuda": {"driver_version": None, "cuda_version": None},
        "gpu": [],
        "incomplete": incomplete,
    }


def is_secret(name: str) -> bool:
    """Whether the name of a variable or an option says that its value is a secret."""
    return bool(_SECRET_NAME.search(name))


def _variables() -> dict[str, str]:
    """The variables of this process that engines inherit and obey, without secrets."""
    names = sorted(filter(VARIABLES.fullmatch, os.environ))
    pairs = (f"{name}={os.environ[name]}" for name in names)
    return dict(pair.split("=", 1) for pair in mask(list(pairs)))


def git(path: Path, *, timeout_s: float = 5.0) -> dict[str, Any] | None:
    """Commit and dirty state of the repository around a path, `None` outside one.

    As in `git describe --dirty`, untracked files do not make it dirty. `dirty` is
    `None` where git did not say in time.
    """
    deadline = time.monotonic() + timeout_s
    commit = _git(path, "rev-parse", "--verify", "HEAD", deadline=deadline)
    if commit is None:
        return None
    status = _git(path, "status", "--porcelain", "-uno", deadline=deadline)
    return {
        "commit": commit.strip(),
        "dirty": None if status is None else bool(status.strip()),
    }


def mask(argv: Sequence[str]) -> list[str]:
    """A command line without its secrets.

    Hidden are values of options and assignments whose name ends in token, key,
    password, secret and the like, passwords in URLs, and well-known kinds of token.
    Bytes that are no UTF-8 are written as escapes.
    """
    masked, hide_next = [], False
    for raw in argv:
        argument = raw.encode("utf-8", "backslashreplace").decode()
        name, equals, value = argument.partition("=")
        secret_name = is_secret(name)
        if hide_next and not argument.startswith("-"):
            masked.append(MASKED)
        elif secret_name and equals and value:
            masked.append(f"{name}={MASKED}")
        else:
            masked.append(_without_secrets(argument))
        hide_next = secret_name and not equals and name.startswith("-")
    return masked


def _without_secrets(text: str) -> str:
    """Text without passwords in URLs, known tokens, and nested assignments."""
    text = _URL_PASSWORD.sub(rf"\1:{MASKED}@", text)
    text = _SECRET_VALUE.sub(MASKED, text)
    name, equals, value = text.rpartition("=")
    if equals and value and _SECRET_NAME.search(re.split(r"[=,:\s]", name)[-1]):
        return f"{name}={MASKED}"
    return text


def _run_all(
    parts: Mapping[str, Callable[[], Any]], timeout_s: float
) -> tuple[dict[str, Any], dict[str, str]]:
    """The answer of each part, and why some have none; never later than the limit."""
    deadline = time.monotonic() + timeout_s
    answers: dict[str, Any] = {}
    failures: dict[str, str] = {}

    def work(name: str, part: Callable[[], Any]) -> None:
        try:
            answers[name] = part()
        except Exception as error:  # noqa: BLE001  # told in `incomplete`
            failures[name] = f"{type(error).__name__}: {error}"

    threads = {
        name: threading.Thread(target=work, args=(name, part), daemon=True)
        for name, part in parts.items()
    }
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    # Copies: a part that is late after all must not change what was returned.
    answered, failed = dict(answers), dict(failures)
    incomplete = {
        name: failed.get(name, f"no answer within {timeout_s:g} s")
        for name in parts
        if name not in answered
    }
    return {name: answered.get(name) for name in parts}, incomplete


def _read(path: Path) -> str | None:
    """A file's text without the space around it, `None` if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _cpu(root: Path) -> dict[str, Any]:
    """Model, cores, governor and present frequency of the processors."""
    info = _read(root / "proc/cpuinfo") or ""
    model = re.search(r"^(?:model name|Processor)\s*:\s*(.+)$", info, re.MULTILINE)
    frequency = re.search(r"^cpu MHz\s*:\s*([\d.]+)", info, re.MULTILINE)
    scaling = root / "sys/devices/system/cpu/cpu0/cpufreq"
    khz = _read(scaling / "scaling_cur_freq")
    mhz = float(frequency[1]) if frequency else None
    return {
        "model": model[1] if model else platform.processor() or None,
        "cores_physical": _physical_cores(info),
        "cores_logical": os.cpu_count(),
        "governor": _read(scaling / "scaling_governor"),
        "frequency_mhz": int(khz) / 1e3 if khz and khz.isdigit() else mhz,
    }


def _physical_cores(info: str) -> int | None:
    """Different pairs of package and core in /proc/cpuinfo, `None` if it has none."""
    cores = set()
    for block in info.split("\n\n"):
        package = re.search(r"^physical id\s*:\s*(\d+)", block, re.MULTILINE)
        core = re.search(r"^core id\s*:\s*(\d+)", block, re.MULTILINE)
        if package and core:
            cores.add((package[1], core[1]))
    return len(cores) or None


def _memory(root: Path) -> dict[str, Any]:
    """Installed memory in MB, as the kernel sees it."""
    text = _read(root / "proc/meminfo") or ""
    total = re.search(r"^MemTotal:\s*(\d+) kB", text, re.MULTILINE)
    return {"total_mb": int(total[1]) * 1024 / 1e6 if total else None}


def _os(root: Path) -> dict[str, Any]:
    """System, kernel and distribution."""
    release = _read(root / "etc/os-release") or ""
    pretty = re.search(r'^PRETTY_NAME="?([^"\n]+)"?$', release, re.MULTILINE)
    return {
        "system": platform.system() or None,
        "release": platform.release() or None,
        "kernel": platform.version() or None,
        "distribution": pretty[1] if pretty else None,
    }


def _packages() -> dict[str, str]:
    """Versions of those relevant distributions that are installed; none is imported."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _python() -> dict[str, Any]:
    """The interpreter of this process."""
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable or None,
    }


def _clock(root: Path) -> dict[str, Any]:
    """What the kernel takes its time from."""
    source = "sys/devices/system/clocksource/clocksource0/current_clocksource"
    return {"source": _read(root / source)}


def _git(path: Path, *arguments: str, deadline: float) -> str | None:
    """What git printed, `None` if it failed, is not there or is too slow."""
    folder = path if path.is_dir() else path.parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "--no-optional-locks", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=max(0.0, deadline - time.monotonic()),
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
