"""Whether this process runs in a container, and what shows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_CGROUP_KINDS = (
    ("kubepods", "kubernetes"),
    ("libpod", "podman"),
    ("docker", "docker"),
    ("/lxc", "lxc"),
)


def detect(root: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """The container around this process, as files and variables show it.

    The first kind found names it, so the more specific signs come first.
    """
    signs = [
        ("kubernetes", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_HOST" in environ),
        ("apptainer", "APPTAINER_CONTAINER", "APPTAINER_CONTAINER" in environ),
        ("singularity", "SINGULARITY_CONTAINER", "SINGULARITY_CONTAINER" in environ),
        ("singularity", "/.singularity.d", (root / ".singularity.d").exists()),
        ("podman", "/run/.containerenv", (root / "run/.containerenv").exists()),
        ("docker", "/.dockerenv", (root / ".dockerenv").exists()),
    ]
    cgroups = _cgroups(root)
    signs += [
        (kind, f"/proc/1/cgroup: {word}", word in cgroups)
        for word, kind in _CGROUP_KINDS
    ]
    named = environ.get("container", "")
    signs.append((named, f"container={named}", bool(named)))
    seen = [(kind, evidence) for kind, evidence, there in signs if there]
    return {
        "detected": bool(seen),
        "kind": seen[0][0] if seen else None,
        "evidence": [evidence for _, evidence in seen],
    }


def _cgroups(root: Path) -> str:
    """The control groups of the first process, empty if they cannot be read."""
    try:
        return (root / "proc/1/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
