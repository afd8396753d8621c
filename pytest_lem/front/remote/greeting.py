"""What sessions on nodes are started with: what each is to have, and is told."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pytest_lem.cluster.nodes import Wishes, living
from pytest_lem.cluster.places import wishes_for
from pytest_lem.front.conditions import runs_on_cpu
from pytest_lem.front.parallel import Share
from pytest_lem.front.program import Program
from pytest_lem.front.settings import Settings

_PYTESTS = (
    *("PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_PLUGINS"),
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD",
)


def wishes_of(settings: Settings, program: Program) -> Wishes:
    """What each session on a node is to have; GPUs where there are, and one is used."""
    on_cpu = all(runs_on_cpu(one) for one in program.experiments.values())
    some = any(node.gpus for node in living())
    asked = [one.placement for one in program.experiments.values()]
    return Wishes(
        gpus=settings["gpus-per-worker"] if some and not on_cpu else 0,
        gpu_type=settings["gpu-type"],
        labels=dict(settings["node-label"]),
        exclusive=settings["exclusive-node"],
        placements={str(one): wishes_for(one) for one in asked},
    )


def greeting(
    config: pytest.Config, share: Share, shipped: Path | None
) -> tuple[dict[str, Any], str]:
    """What a session on a node is told, and its folder.

    `shipped` is where the files below the rootdir were sent to; None where the node
    has them at the same path.
    """
    root, here = config.rootpath, config.invocation_params.dir
    there = shipped or root
    arguments = [str(one) for one in config.invocation_params.args]
    moved = [_moved(one, root, there) for one in arguments]
    told = {"share": asdict(share), "arguments": [*moved, f"--rootdir={there}"]}
    return told, str(there / os.path.relpath(here, root))


def carried(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that decide what pytest collects."""
    return {key: environ[key] for key in _PYTESTS if key in environ}


def _moved(argument: str, root: Path, there: Path) -> str:
    """An argument that names a path below the root, as it is on a node."""
    if argument == str(root) or argument.startswith(f"{root}{os.sep}"):
        return f"{there}{argument[len(str(root)) :]}"
    return argument
