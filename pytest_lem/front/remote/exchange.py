"""What a session on a node and its driver tell each other of experiments."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pytest_lem.front.premises import Premises
from pytest_lem.records.record import Cycle

if TYPE_CHECKING:
    from pytest_lem.front.session import LemSession

Found = tuple[str, dict[str, Any]]
"""Identity and workload that only the body of a test said."""


def facts(state: "LemSession") -> dict[str, Any]:
    """What a node tells of itself: its machine, GPUs and meters."""
    assert isinstance(state.premises, Premises)
    premises, metering = state.premises, state.premises.open()
    premises.measuring()
    return {
        "environment": premises.environment,
        "gpus": [one.uuid for one in premises.gpus],
        "meters": premises.meters,
        "names": metering.names,
        "basis": metering.basis,
        "carbon": premises.carbon,
    }


def residues(state: "LemSession") -> dict[str, Any]:
    """What the engines of a node left in the memory of its GPUs, by their specs."""
    specs = [state.program.experiments[name].spec for name in state.findings.names]
    return {one.model_dump_json(): asdict(state.premises.residue(one)) for one in specs}


def take_over(
    state: "LemSession", name: str, earlier: Sequence[str] | None, found: Found | None
) -> None:
    """Have a node know what was measured of an experiment elsewhere; None: it does.

    Raises StoreError where the node cannot write it.
    """
    if earlier is None:
        return
    cycles = [Cycle.model_validate_json(one) for one in earlier]
    state.findings.take_over(name, cycles)
    state.searches.restore([(name, cycles)])
    if found is not None:
        state.program.take_over(name, *found)


def earlier(state: "LemSession", name: str, known: int) -> list[str] | None:
    """What a node is to take over, which has so many cycles of an experiment."""
    if len(state.findings.hashes(name)) == known:
        return None
    cycles = state.findings.cycles(name) if state.findings.has(name) else []
    return [one.model_dump_json() for one in cycles]
