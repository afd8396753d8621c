"""On which nodes of a cluster an experiment is measured; never part of its identity."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

PLACEMENT_KEYS = ("placement",)


class Placement(BaseModel):
    """What a node must have; all of it, and any node where nothing is said.

    `gpu_type` is as Ray names it, such as H100, `labels` are those of Ray's, and `node`
    is a host or Ray's id of one.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", coerce_numbers_to_str=True, defer_build=True
    )

    gpu_type: str | None = None
    labels: Mapping[str, str] = {}
    node: str | None = None

    def __bool__(self) -> bool:
        """Whether anything is asked."""
        return bool(str(self))

    def __str__(self) -> str:
        """As it is told; equal for those that ask the same."""
        return ", ".join(f"{key}={value}" for key, value in self.said())

    def said(self) -> Iterator[tuple[str, Any]]:
        """What is asked, by its keys below `placement`."""
        if self.gpu_type is not None:
            yield "gpu_type", self.gpu_type
        for name, value in sorted(self.labels.items()):
            yield f"labels.{name}", value
        if self.node is not None:
            yield "node", self.node
