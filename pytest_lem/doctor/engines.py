"""Checks of the engines: whether each imports, and its CUDA suits the driver."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from pytest_lem.doctor import Check, Look, Subject
from pytest_lem.engines.registry import EngineEntry, Registry, lacking
from pytest_lem.errors import ConfigError, EngineNotAvailable
from pytest_lem.spec.compat import beside, untested
from pytest_lem.worker.devices import environment_for, inherited
from pytest_lem.worker.launch.interpreter import ask, find

NONE = Check(
    name="engines",
    state="failed",
    found="none can be imported here",
    remedy="pip install 'pytest-lem[transformers]', or name a Python by --python",
)

_ASKED_WITHIN_S = 10.0
_WITHIN_S = 35.0
_QUESTION = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
torch = sys.modules.get("torch")
told = {"version": str(torch.__version__), "cuda": torch.version.cuda} if torch else {}
print(json.dumps(told))
"""


def looks(subject: Subject) -> Mapping[str, Look]:
    """A look for each engine that has a library and no image, where it is to run.

    Raises ConfigError for an unknown backend.
    """
    registry = Registry()
    pythons = {registry.find(name).name: path for name, path in subject.pythons.items()}
    elsewhere = {registry.find(name).name for name in subject.images}
    entries = [registry.find(name) for name in {*registry.names(), *pythons}]
    return {
        f"engine {one.name}": partial(_engine, one, pythons.get(one.name), subject)
        for one in sorted(entries, key=lambda one: one.name)
        if one.requires and one.name not in elsewhere
    }


def _engine(entry: EngineEntry, named: str | None, subject: Subject) -> Iterator[Check]:
    check = partial(Check, name=f"engine {entry.name}")
    modules = [*entry.requires, entry.target.partition(":")[0]]
    try:
        python = find(named or sys.executable)
        has = ask(
            python,
            modules=modules,
            packages=beside(entry.name),
            timeout_s=_ASKED_WITHIN_S,
        )
    except (ConfigError, EngineNotAvailable) as error:
        remedy = "mend that Python, or name another by --python"
        yield check(state="failed", found=error.message, remedy=remedy)
        return
    if problem := lacking(entry, has.missing, python=named and python):
        found, _, remedy = problem.partition(": ")
        yield check(state="failed" if named else "skipped", found=found, remedy=remedy)
        return
    told = _import(python, modules, [one.uuid for one in subject.gpus[:1]])
    where = f"Python {has.version}, {python}"
    if isinstance(told, str):
        yield check(
            state="failed",
            found=f"does not import: {told} ({where})",
            remedy=f"{python} -m pip check; or an environment of its own (tox.ini)",
        )
        return
    versions = ", ".join(f"{k} {v}" for k, v in has.packages.items() if v)
    notes = list(untested({entry.name}, set(), has.packages.get))
    for note in notes:
        yield check(state="warning", found=note.message, remedy=str(note.suggestion))
    if not notes:
        yield check(state="ok", found=f"{versions} ({where})")
    if subject.gpus and told:
        yield _against_driver(entry.name, told, str(subject.gpus[0].cuda_version))


def _import(python: str, modules: list[str], gpus: list[str]) -> dict[str, Any] | str:
    """What torch that brings along, or why it cannot be imported."""
    try:
        done = subprocess.run(
            [python, "-P", "-c", _QUESTION, *modules],
            env={**inherited(os.environ), **environment_for(gpus)},
            capture_output=True,
            text=True,
            timeout=_WITHIN_S,
            check=True,
        )
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return f"no answer within {_WITHIN_S:.0f} s"
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or "").strip().splitlines()
        return lines[-1] if lines else f"exit status {error.returncode}"
    except (OSError, ValueError, LookupError) as error:
        return f"{type(error).__name__}: {error}"
    return told


def _against_driver(backend: str, torch: Mapping[str, Any], driver: str) -> Check:
    """Torch's CUDA against the newest that the driver runs."""
    check = partial(Check, name=f"CUDA of {backend}")
    if torch["cuda"] is None:
        return check(
            state="failed",
            found=f"torch {torch['version']} is built without CUDA, and a GPU is here",
            remedy="install a torch for CUDA (https://pytorch.org/get-started/locally)",
        )
    told = f"torch {torch['version']} for CUDA {torch['cuda']}, driver for {driver}"
    ours, theirs = _number(torch["cuda"]), _number(driver)
    if theirs is None or ours is None:
        return check(state="skipped", found=f"{told}: not comparable")
    if ours[0] > theirs[0]:
        return check(
            state="failed",
            found=f"{told}: too old",
            remedy=f"update the driver, or install a torch for CUDA {theirs[0]}",
        )
    if ours > theirs:
        return check(
            state="warning",
            found=f"{told}: older than torch's, though of the same generation",
            remedy="update the driver: kernels compiled on the spot may fail",
        )
    return check(state="ok", found=told)


def _number(version: str) -> tuple[int, ...] | None:
    parts = version.split(".")[:2]
    return tuple(map(int, parts)) if all(map(str.isdecimal, parts)) else None
