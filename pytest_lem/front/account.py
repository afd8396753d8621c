"""What a session says of itself, and the record of what it found."""

from typing import TYPE_CHECKING, Any, Literal

import pytest_lem
from pytest_lem.machine import environment
from pytest_lem.records.extended import UNREAD
from pytest_lem.records.long import LongRecord
from pytest_lem.records.record import Record, Session

if TYPE_CHECKING:
    from pytest_lem.front.session import LemSession

Status = Literal["complete", "interrupted"]


def record_of(
    state: "LemSession", status: Status, timeseries: dict[str, Any] | None = None
) -> LongRecord:
    """The record of the session; `timeseries` is where its readings are."""
    return state.findings.record(
        _session(state, status),
        state.premises.environment,
        timeseries,
        state.premises.residue,
        resumed=state.planning.resumed,
    )


def so_far(state: "LemSession", item_id: str) -> Record:
    """The record of one experiment while others are still to run."""
    one = state.findings.experiment(item_id, UNREAD)
    return record_of(state, "interrupted").of(one)


def put_part(state: "LemSession", record: Record) -> None:
    """Write the record of one experiment for the controller of this process."""
    name = record.experiments[0].id
    place = list(state.program.experiments).index(name)
    state.parts.put(place, record, first=name == state.findings.names[0])


def meta(state: "LemSession") -> dict[str, Any]:
    """What a trace says of itself."""
    gpus = state.premises.gpus
    found: dict[str, Any] = {
        "session": state.name.session,
        "clock": "CLOCK_MONOTONIC seconds",
        "plugin_version": pytest_lem.__version__,
        "meters": state.premises.meters,
    }
    if gpus:
        found |= {"driver": gpus[0].driver_version, "gpu": gpus[0].name}
    return found


def _session(state: "LemSession", status: Status) -> Session:
    settings = state.settings
    arguments = [str(one) for one in state.config.invocation_params.args]
    if state.share is not None:
        arguments = state.share.command
    return Session(
        id=state.name.session,
        started_at=state.name.started_at,
        plugin_version=pytest_lem.__version__,
        command=environment.mask(["pytest", *arguments]),
        label=settings["save"],
        order=state.program.order,
        seed=state.program.seed,
        git=state.git,
        meters=state.premises.meters,
        carbon=state.premises.carbon,
        status=status,
        warnings_ignored=settings["ignore-backend-warnings"],
        profile=settings.profile,
        isolation=settings["isolation"],
    )
