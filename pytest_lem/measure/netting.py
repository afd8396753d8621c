"""What is subtracted from a cycle's gross energy, or why nothing may be."""

from collections.abc import Collection
from dataclasses import dataclass, field

from pytest_lem.analysis.net import IdleWatts, is_shared, why_not_net
from pytest_lem.measure.idle import IdlePolicy
from pytest_lem.measure.idle_states import CycleIdle


@dataclass(frozen=True, slots=True, kw_only=True)
class Netting:
    """The idle power that net energy is without; None where `reason` forbids it."""

    idle: IdleWatts | None
    reason: str | None = None
    flags: set[str] = field(default_factory=set)


def netting(
    found: CycleIdle | None,
    policy: IdlePolicy,
    *,
    flags: Collection[str],
    measured_s: float,
) -> Netting:
    """What the readings of a cycle allow, which has these flags and measured so long.

    The drift of a `validated` reading has a limit of its own and forbids nothing here.
    """
    if found is None:
        return Netting(idle=None, reason="no_idle_reading")
    record = found.chosen.record
    if record is None:
        return Netting(idle=None, reason=found.chosen.reason)
    told = {"gpu_busy_at_idle"} & found.flags
    told |= set() if record.source == "fresh" else {"cached_idle"}
    reason = why_not_net(
        flags=flags,
        idle_flags=found.flags,
        drift_pct=found.drift_pct if found.after else None,
        drift_limit_pct=policy.drift_limit_pct,
        measured_s=measured_s,
        force=policy.force,
    )
    if reason is not None:
        return Netting(idle=None, reason=reason, flags={*told, "net_invalid"})
    if is_shared({*flags, *found.flags}):
        told.add("net_forced")
    return Netting(idle=found.watts(), flags=told)
