"""The times of a cycle's requests, where somebody wants to keep them."""

from pathlib import Path

from pytest_lem.analysis.requests import Request
from pytest_lem.measure.laboratory import Laboratory
from pytest_lem.measure.notebook import Notebook
from pytest_lem.measure.watching import profile_name
from pytest_lem.measure.window import Pass
from pytest_lem.records.stamps import Stamped, write_stamps


def save_stamps(lab: Laboratory, notes: Notebook) -> None:
    """Write the times of each request of the cycle, if that was asked for.

    Where it fails the cycle is flagged and still counts.
    """
    folder = lab.conditions.save_stamps
    if folder is None:
        notes.nulls["stamps_path"] = "not_asked_for"
        return
    lab.progress.phase("keep times")
    stem = Path(profile_name(notes.experiment.id)).stem
    again = f"-attempt-{notes.attempt}" if notes.attempt else ""
    again += "" if notes.trial is None else f"-trial-{notes.trial}"
    path = folder.absolute() / f"{stem}-cycle-{notes.index}{again}.parquet"
    try:
        path.parent.mkdir(exist_ok=True)
        write_stamps([stamped(run) for run in notes.passes], path)
    except OSError:
        notes.nulls["stamps_path"] = "not_writable"
        notes.flags.add("stamps_not_saved")
        return
    notes.stamps_path = str(path)


def stamped(run: Pass) -> Stamped:
    """The times of a pass's requests."""
    done, due = run.generation.completions, run.generation.due_ns
    return Stamped(
        window=run.index,
        kind=run.kind,
        requests=[
            Request(
                input_tokens=one.input_tokens,
                output_tokens=one.output_tokens,
                sent_ns=one.sent_ns,
                ended_ns=one.ended_ns,
                token_ns=one.token_ns,
                due_ns=due[place] if due else None,
                finish_reason=one.finish_reason,
                outcome=one.outcome,
                left_out=place < run.left_out,
            )
            for place, one in enumerate(done)
        ],
    )
