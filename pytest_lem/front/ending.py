"""The end of a session: everything is closed, and what was found is written."""

from typing import TYPE_CHECKING, Any

from pytest_lem.front.account import Status, meta, put_part, record_of
from pytest_lem.front.parallel import tell_controller
from pytest_lem.front.remote.exchange import residues
from pytest_lem.front.reports import Reports, publish

if TYPE_CHECKING:
    from pytest_lem.front.session import LemSession
    from pytest_lem.records.long import LongRecord
    from pytest_lem.records.record import ExperimentRecord


def finish(state: "LemSession", *, interrupted: bool) -> None:
    """End the laboratory and write the reports, if anything was measured.

    A second interrupt while it ends kills at once; the reports are written all the
    same.
    """
    remote = state.share is not None and state.share.remote
    try:
        state.premises.close()
    finally:
        state.problems += state.premises.problems
        timeseries = state.traces.save(meta(state))
        if state.findings and not remote:
            status: Status = "interrupted" if interrupted else "complete"
            record = record_of(state, status, timeseries)
            (_publish if state.share is None else _hand_over)(state, record)
        state.planning.end()
        told: dict[str, Any] = {"problems": state.problems}
        if remote:
            told["residues"] = residues(state)
        tell_controller(state.config, unwritten=state.unwritten, **told)


def _publish(state: "LemSession", record: "LongRecord") -> None:
    gating, findings = state.gating, state.findings
    judged = gating.complete(record)
    state.problems += gating.late()
    journal = state.name.directory / "cycles.jsonl"
    reports = Reports(judged.head, state.settings, journal)
    shown = judged.each(lambda one: _shown(state, one))
    state.final = publish(shown, reports, state.storing, gating.renewed)
    findings.unwritten += reports.unwritten


def _hand_over(state: "LemSession", record: "LongRecord") -> None:
    """Leave the record to the controller, which makes one of all workers'."""
    for one in state.gating.noted(record):
        put_part(state, record.of(_shown(state, one)))
    state.storing.close()


def _shown(state: "LemSession", experiment: "ExperimentRecord") -> "ExperimentRecord":
    """The experiment, which those have seen who asked for it."""
    state.findings.show(experiment)
    return experiment
