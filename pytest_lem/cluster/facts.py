"""What a cluster can measure: its nodes, each asked on the spot, and what differs."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

from pytest_lem.cluster.connect import connected

_ANSWERED_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine of the cluster; `offered` and `free` are what Ray gives out of it.

    `told` is what it says of itself (see `look_around`), `None` with the `reason`
    where it does not. `head` is where Ray keeps its books.
    """

    id: str
    address: str
    host: str
    head: bool
    offered: Mapping[str, float]
    free: Mapping[str, float]
    labels: Mapping[str, str] = field(default_factory=dict)
    python: str | None = None
    plugin: str | None = None
    ray: str | None = None
    told: Mapping[str, Any] | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The nodes, the other jobs of Ray's, and a line for each thing that is wrong."""

    address: str
    nodes: Sequence[Node]
    jobs: Sequence[Mapping[str, Any]]
    problems: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def look_up(address: str = "auto", *, meters: Sequence[str], seconds: float) -> Cluster:
    """Ask every living node at once, without taking anything that others wait for.

    ConfigError where there is no cluster.
    """
    with connected(address) as ray:
        alive = [one for one in ray.nodes() if one["Alive"]]
        asked = {one["NodeID"]: _there(ray, one["NodeID"], _asker()) for one in alive}
        books = ray.get(_anywhere(ray, _bookkeeper()).remote(_own_job(ray)))
        answers = _answers(
            ray,
            {k: one.remote(list(meters), seconds) for k, one in asked.items()},
            within_s=_ANSWERED_S + seconds * len(meters),
        )
        nodes = [_node(one, books["free"], answers[one["NodeID"]]) for one in alive]
        nodes.sort(key=lambda one: (not one.head, one.host, one.address, one.id))
        return Cluster(
            address=ray.get_runtime_context().gcs_address,
            nodes=nodes,
            jobs=books["jobs"],
            problems=list(_problems(nodes, _here(ray))),
        )


def _asker() -> Callable[[list[str], float], dict[str, Any]]:
    """What a node runs; sent by value, so that one without this package answers."""

    def ask(meters: list[str], seconds: float) -> dict[str, Any]:
        import platform
        from importlib import metadata

        import ray

        told: dict[str, Any] = {
            "python": platform.python_version(),
            "ray": ray.__version__,
            "plugin": None,
        }
        try:
            told["plugin"] = metadata.version("pytest-lem")
            from pytest_lem.cluster.look import look_around
        except ImportError as error:
            return {**told, "reason": f"pytest-lem cannot be imported there ({error})"}
        return {**told, "told": look_around(meters, seconds=seconds)}

    return ask


def _bookkeeper() -> Callable[[str], dict[str, Any]]:
    """What is free on each node, and which other jobs run, from Ray's own books."""

    def ask(own: str) -> dict[str, Any]:
        from ray._private import state

        return {
            "free": state.available_resources_per_node(),
            "jobs": [
                {
                    "id": one["JobID"],
                    "driver": f"{one['DriverIPAddress']}:{one['DriverPid']}",
                    "entrypoint": one["Entrypoint"],
                }
                for one in state.jobs()
                if not one["IsDead"] and one["JobID"] != own
            ],
        }

    return ask


def _anywhere(ray: Any, ask: Callable[..., Any]) -> Any:
    return ray.remote(num_cpus=0, max_retries=0)(ask)


def _there(ray: Any, node: str, ask: Callable[..., Any]) -> Any:
    return _anywhere(ray, ask).options(scheduling_strategy=on_node(node))


def on_node(node: str) -> Any:
    """Ray's word for: on that node, or not at all."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id=node, soft=False)


def _own_job(ray: Any) -> str:
    return str(ray.get_runtime_context().get_job_id())


def _answers(
    ray: Any, asked: Mapping[str, Any], *, within_s: float
) -> dict[str, dict[str, Any]]:
    """What each node answers; of one that fails or is late the `reason`."""
    done, _ = ray.wait([*asked.values()], num_returns=len(asked), timeout=within_s)
    found: dict[str, dict[str, Any]] = {}
    for node, answer in asked.items():
        if answer not in done:
            found[node] = {"reason": f"no answer within {within_s:.0f} s"}
            continue
        try:
            found[node] = ray.get(answer)
        except ray.exceptions.RayError as error:
            found[node] = {"reason": str(error).strip().splitlines()[-1]}
    return found


def _node(
    told: Mapping[str, Any], free: Mapping[str, Any], answer: Mapping[str, Any]
) -> Node:
    offered = told["Resources"]
    return Node(
        id=told["NodeID"],
        address=told["NodeManagerAddress"],
        host=told["NodeManagerHostname"],
        head="node:__internal_head__" in offered,
        offered=_counted(offered),
        free=_counted(free.get(told["NodeID"], {})),
        labels={
            k: v for k, v in told.get("Labels", {}).items() if k != "ray.io/node-id"
        },
        **answer,
    )


def _counted(resources: Mapping[str, float]) -> dict[str, float]:
    """Processors, GPUs and what was named by hand; not Ray's own."""
    return {
        name: amount
        for name, amount in sorted(resources.items())
        if not name.startswith(("node:", "object_store", "memory"))
    }


def _here(ray: Any) -> dict[str, str]:
    return {
        "plugin": version("pytest-lem"),
        "python": platform.python_version(),
        "ray": ray.__version__,
    }


def _problems(nodes: Sequence[Node], here: Mapping[str, str]) -> Iterator[str]:
    """Nodes that cannot be asked, and versions that differ, with the remedy."""
    for node in nodes:
        if node.reason is not None:
            yield f"{node.host} ({node.address}): {node.reason}"
        for name, ours in here.items():
            theirs = getattr(node, name)
            if theirs is not None and theirs != ours:
                yield (
                    f"{node.host} ({node.address}): {_NAMES[name]} {theirs}, here "
                    f"{ours}; {_REMEDIES[name].format(ours)}"
                )
    yield from _apart(nodes)


_NAMES = {"plugin": "pytest-lem", "python": "Python", "ray": "ray"}
_REMEDIES = {
    "plugin": "pip install pytest-lem=={} there, and start its ray anew",
    "python": "give every node the same environment, with Python {}",
    "ray": "pip install ray=={} there, and start it anew",
}


def _apart(nodes: Sequence[Node]) -> Iterator[str]:
    """Engines and drivers that are not the same on all nodes: two sides of a gate."""
    kinds: dict[str, dict[str, list[str]]] = {}
    for node in nodes:
        told = node.told or {}
        found = {name: told.get("packages", {}).get(name, "none") for name in _COMPARED}
        drivers = {gpu["driver_version"] for gpu in told.get("gpus", ())}
        if drivers:
            found["NVIDIA driver"] = ", ".join(sorted(map(str, drivers)))
        for name, value in found.items() if told else ():
            kinds.setdefault(name, {}).setdefault(value, []).append(node.host)
    for name, versions in kinds.items():
        if len(versions) > 1:
            where = "; ".join(f"{k} on {', '.join(v)}" for k, v in versions.items())
            yield (
                f"{name} differs: {where}; install one version everywhere, or compare "
                "no records across these nodes"
            )


_COMPARED = ("torch", "transformers", "vllm", "tensorrt-llm")
