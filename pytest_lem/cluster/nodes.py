"""The nodes of a Ray cluster: which of them may measure, and how many at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What an actor is to have.

    `labels` are those of Ray's, and node=ID or node=HOST names one. `gpu_type` is as
    Ray names it, such as H100. `exclusive` takes the whole node. Where there are
    `placements`, by their names, a node is of use that fits one of them.
    """

    gpus: int = 1
    gpu_type: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    exclusive: bool = False
    placements: Mapping[str, "Wishes"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A living node, with what Ray may give away of it."""

    id: str
    host: str
    cpus: float
    gpus: float
    labels: Mapping[str, str]
    types: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.host} ({self.id[:8]})"

    def unfit(self, wishes: Wishes) -> str | None:
        """Why it may not measure; None where it may."""
        if self.cpus < 1:
            return "Ray has no CPU there to give"
        for key, value in wishes.labels.items():
            named = (self.id, self.host) if key == "node" else (self.labels.get(key),)
            if value not in named:
                return f"it has not the label {key}={value}"
        if wishes.gpu_type is not None and wishes.gpu_type not in self.types:
            return f"its GPUs are {', '.join(self.types) or 'none'}"
        if self.gpus < wishes.gpus:
            return f"it has {self.gpus:g} GPUs of {wishes.gpus}"
        reasons = [
            f"no experiment may run there: {name}, and {why}"
            for name, one in wishes.placements.items()
            if (why := self.unfit(one))
        ]
        if reasons and len(reasons) == len(wishes.placements):
            more = f" (so for {len(reasons) - 1} more)" if reasons[1:] else ""
            return f"{reasons[0]}{more}"
        return None

    def seats(self, wishes: Wishes) -> int:
        """How many actors measure there at once; one, where they share its CPU."""
        if wishes.exclusive or not wishes.gpus:
            return 1
        return int(self.gpus // wishes.gpus)

    def resources(self, wishes: Wishes) -> dict[str, float]:
        """What an actor takes of it, as Ray calls that."""
        if wishes.exclusive:
            return {"num_cpus": self.cpus, "num_gpus": self.gpus}
        return {"num_cpus": 1, "num_gpus": wishes.gpus}


def living() -> Iterator[Node]:
    """The nodes that Ray takes to be alive."""
    import ray

    for one in ray.nodes():
        if one["Alive"]:
            yield _node(one)


def listed(told: Mapping[Any, Any]) -> Iterator[Node]:
    """The same, by what Ray's head answers to its own clients."""
    for key, one in told.items():
        if one.state == one.ALIVE:
            resources, host = one.resources_total, one.node_manager_hostname
            yield _node(
                {
                    "NodeID": key.hex(),
                    "NodeManagerHostname": host,
                    "Resources": {**resources},
                    "Labels": {**one.labels},
                }
            )


def _node(one: Mapping[str, Any]) -> Node:
    resources: Mapping[str, float] = one["Resources"]
    kind = "accelerator_type:"
    return Node(
        id=one["NodeID"],
        host=one["NodeManagerHostname"],
        cpus=resources.get("CPU", 0),
        gpus=resources.get("GPU", 0),
        labels=one.get("Labels") or {},
        types=tuple(k.removeprefix(kind) for k in resources if k.startswith(kind)),
    )
