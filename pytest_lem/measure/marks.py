"""The spans of a cycle by name, for the trace of the session."""

from pytest_lem.measure.notebook import Notebook
from pytest_lem.measure.phases import split_of
from pytest_lem.measure.window import Pass
from pytest_lem.meters.metering import Metering


def mark_cycle(metering: Metering, notes: Notebook) -> None:
    """Name load, warm-up, windows and their phases, as far as the cycle came."""
    bench, warmed = notes.bench, notes.warmed
    if bench is None:
        return
    metering.mark("load", bench.load_start_s, bench.load_end_s, devices=bench.devices)
    if warmed is not None:
        metering.mark("warmup", warmed.start_s, warmed.end_s, devices=bench.devices)
    for run in notes.passes:
        metering.mark(
            "window",
            run.start_s,
            run.end_s,
            devices=bench.devices,
            window=run.index,
            kind=run.kind,
        )
        _mark_phases(metering, run, bench.devices)


def _mark_phases(metering: Metering, run: Pass, devices: frozenset[str]) -> None:
    for piece in split_of(run.generation).pieces:
        if piece.phase != "other":
            metering.mark(
                piece.phase,
                piece.start_s,
                piece.end_s,
                devices=devices,
                window=run.index,
                kind=run.kind,
            )
