"""What one node can measure, looked up on that node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_lem.machine.environment import collect
from pytest_lem.machine.gpu import discover
from pytest_lem.machine.processes import tenancies
from pytest_lem.meters.survey import survey


def look_around(meters: Sequence[str], *, seconds: float) -> dict[str, Any]:
    """GPUs, processors, packages, meters, and who else is there, as plain values."""
    gpus, facts = discover(), collect()
    whole = dict.fromkeys(gpu.mig_parent or gpu.uuid for gpu in gpus)
    return {
        "gpus": [gpu.to_json() for gpu in gpus],
        "cpu": facts["cpu"],
        "memory_mb": (facts["memory"] or {}).get("total_mb"),
        "container": facts["container"],
        "packages": facts["packages"] or {},
        "tenants": {k: one.to_json() for k, one in tenancies(whole).items()},
        "meters": [one.to_json() for one in survey(meters, gpus, seconds=seconds)],
    }
