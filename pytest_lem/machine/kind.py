"""What is equal on machines whose numbers may be compared, or pooled."""

from collections.abc import Mapping
from typing import Any

_GPU = {
    "gpu": "name",
    "driver": "driver_version",
    "power_limit_w": "power_limit_w",
}


def kind(environment: Mapping[str, Any]) -> dict[str, Any]:
    """GPUs, drivers, power limits and the CPU, by the names that users see."""
    gpus = environment.get("gpu") or ()
    return {
        **{key: [one.get(fact) for one in gpus] for key, fact in _GPU.items()},
        "cpu": (environment.get("cpu") or {}).get("model"),
    }
