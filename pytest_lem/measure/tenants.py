"""Who else is at work: on the GPUs of a run, and on others that are measured.

Joules of the first would be counted as ours; the second share host, air and power.
"""

from pytest_lem.errors import NotExclusive
from pytest_lem.machine.locks import neighbours
from pytest_lem.machine.processes import Tenancy, Tenant, family, tenancies
from pytest_lem.measure.laboratory import Bench, Laboratory
from pytest_lem.measure.notebook import Notebook


def look_for_others(lab: Laboratory, notes: Notebook) -> None:
    """Take note of who else is on the GPUs now; raises NotExclusive if none may be."""
    if notes.bench is None:
        return
    _look_for_neighbours(lab, notes)
    for uuid, found in _others(lab, notes.bench).items():
        before = notes.tenancies.get(uuid)
        notes.tenancies[uuid] = found if before is None else _both(before, found)
    strangers = {
        uuid: found.processes
        for uuid, found in notes.tenancies.items()
        if found.processes
    }
    if strangers:
        notes.flags.add("foreign_process")
    if not lab.conditions.require_exclusive:
        return
    if strangers:
        raise NotExclusive(described(strangers) + " (--lem-require-exclusive)")
    if any(found.processes is None for found in notes.tenancies.values()):
        notes.flags.add("exclusive_unknown")


def _look_for_neighbours(lab: Laboratory, notes: Notebook) -> None:
    """Take note of which other GPUs of this machine are measured at the same time."""
    ours = lab.conditions.whole_gpus
    found = (neighbours(ours) if ours else None) or {}
    for gpu, holder in found.items():
        notes.neighbours[gpu] = holder.session if holder else None
    if notes.neighbours or lab.conditions.beside:
        notes.flags.add("neighbours_measured")


def described(strangers: dict[str, tuple[Tenant, ...]]) -> str:
    """Which other processes are on which GPU, in a line."""
    told = [
        f"{', '.join(map(str, processes))} on {uuid}"
        for uuid, processes in strangers.items()
    ]
    return f"a GPU of the run is used by others: {'; '.join(told)}"


def _others(lab: Laboratory, bench: Bench) -> dict[str, Tenancy]:
    if bench.devices == {"cpu"} or not lab.conditions.whole_gpus:
        return {}
    ours = family(bench.client.pid, inside=bench.client.inside)
    return tenancies(lab.conditions.whole_gpus, ours=ours)


def _both(before: Tenancy, after: Tenancy) -> Tenancy:
    """Everybody seen at either time; unknown where one look told nothing of nobody."""
    told = [*(before.processes or ()), *(after.processes or ())]
    seen = tuple({one.pid: one for one in told}.values())
    known = before.processes is not None and after.processes is not None
    reason = before.reason or after.reason
    return Tenancy(processes=seen if seen or known else None, reason=reason)
