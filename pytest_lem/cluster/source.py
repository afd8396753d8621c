"""A node's reader as the cluster's meter has it: devices, clock and answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_lem.analysis.clocks import Exchange
from pytest_lem.cluster.clock import NodeClock
from pytest_lem.meters import Device, Reading, Telemetry

_UNIQUE = ("GPU-", "MIG-")


@dataclass(slots=True, kw_only=True)
class Source:
    """A node's reader: its devices under the names they have here, and its clock."""

    node: str
    host: str
    actor: Any
    devices: dict[str, Device]
    period_s: float
    clock: NodeClock = field(default_factory=NodeClock)
    asked: tuple[Any, float] | None = None
    last_s: dict[str, float] = field(default_factory=dict)
    lost: str | None = None

    def note(
        self, asked_s: float, taken_s: float, answered_s: float, heard_s: float
    ) -> None:
        """Take in one exchange of stamps: ours, two of the node's, and ours."""
        self.clock.note(
            Exchange(
                asked_s=asked_s,
                taken_s=taken_s,
                answered_s=answered_s,
                heard_s=heard_s,
            )
        )

    def moved(self, one: Reading) -> Reading:
        """The same by our clock; a better relation never puts it before the last."""
        device = self.devices[one.device].id
        relation = self.clock.relation
        before_s, after_s = relation.ours_s(one.before_s), relation.ours_s(one.after_s)
        if one.ring_w is None:
            before_s = max(before_s, self.last_s.get(device, before_s))
            self.last_s[device] = before_s
        return replace(
            one, device=device, before_s=before_s, after_s=max(before_s, after_s)
        )

    def at_our_time(self, one: Telemetry) -> Telemetry:
        """The same by our clock."""
        return replace(
            one,
            device=self.devices[one.device].id,
            time_s=self.clock.relation.ours_s(one.time_s),
        )


def named(
    node: str, told: Mapping[str, Any], seen: set[tuple[Any, str]]
) -> dict[str, Device]:
    """Devices under names that are unique, by those that they have there.

    Two nodes on one machine see the same GPUs and processors: the first tells them.
    """
    found = {}
    real = told["basis"] in ("measured", "estimated")
    for one in told["devices"]:
        key = (told["machine"] if real else node, one.id)
        if key in seen:
            continue
        seen.add(key)
        name = one.id if one.id.startswith(_UNIQUE) else f"{node[:8]}/{one.id}"
        found[one.id] = replace(one, id=name, name=f"{one.name} on {told['host']}")
    return found


def short(error: Exception) -> str:
    """The last line of what Ray says of an error."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
