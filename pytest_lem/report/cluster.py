"""What `lem cluster` tells people."""

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_lem.cluster.facts import Cluster, Node
from pytest_lem.report.table import visible


def lines(found: Cluster) -> Iterator[str]:
    """A paragraph for each node, then others' jobs, then what is wrong."""
    gpus = sum(len((node.told or {}).get("gpus", ())) for node in found.nodes)
    yield (
        f"cluster at {found.address}: {_many(len(found.nodes), 'node')}, "
        f"{_many(gpus, 'GPU')}"
    )
    for node in found.nodes:
        yield from _node(node)
    for job in found.jobs:
        yield visible(
            f"another job, {job['id']} of {job['driver']}: {job['entrypoint']}"
        )
    for problem in found.problems:
        yield visible(f"problem: {problem}")


def _node(node: Node) -> Iterator[str]:
    head = ", head" if node.head else ""
    yield f"{node.host} ({node.address}{head}, {node.id[:8]})"
    yield f"    free: {_resources(node)}"
    yield (
        f"    pytest-lem {node.plugin or 'none'}, Python {node.python or 'unknown'}, "
        f"ray {node.ray or 'unknown'}"
    )
    if node.labels:
        yield "    labels: " + ", ".join(f"{k}={v}" for k, v in node.labels.items())
    if node.told is None:
        return
    cpu = node.told["cpu"] or {}
    yield f"    {cpu.get('model') or 'CPU'}, {cpu.get('cores_logical')} threads"
    for gpu in node.told["gpus"]:
        yield f"    {_gpu(gpu, node.told['tenants'])}"
    for meter in node.told["meters"]:
        yield f"    {_meter(meter)}"


def _resources(node: Node) -> str:
    parts = (
        f"{node.free.get(name, 0.0):g} of {amount:g} {name}"
        for name, amount in node.offered.items()
    )
    return ", ".join(parts) or "nothing"


def _gpu(gpu: Mapping[str, Any], tenants: Mapping[str, Mapping[str, Any]]) -> str:
    limit_w = gpu["power_limit_w"]
    limit = "limit unknown" if limit_w is None else f"{limit_w:g} W"
    told = (
        f"GPU {gpu['index']}: {gpu['name']}, {gpu['uuid']}, "
        f"driver {gpu['driver_version'] or 'unknown'}, {limit}"
    )
    found = tenants.get(gpu["mig_parent"] or gpu["uuid"], {})
    others = found.get("foreign_processes")
    if others is None:
        return f"{told}; tenants unknown ({found.get('foreign_unknown')})"
    names = (f"{one['pid']} ({one['name'] or 'name unknown'})" for one in others)
    return f"{told}; {'tenants: ' + ', '.join(names) if others else 'no tenants'}"


def _meter(meter: Mapping[str, Any]) -> str:
    if not meter["works"]:
        return f"{meter['name']}: no, {meter['reason']}".replace("\n", " ")
    guess = "~" if meter["basis"] == "estimated" else ""
    powers = ", ".join(
        f"{scope} {guess}{power:.1f} W" for scope, power in meter["power_w"].items()
    )
    return f"{meter['name']}: {meter['basis']}, {powers}"


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
