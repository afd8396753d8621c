"""How a cycle ends: what it must hold to count, and the record of one that broke."""

from pytest_lem.analysis.bandwidth import Memory, speculates, weight_bytes
from pytest_lem.analysis.laws import broken_laws
from pytest_lem.errors import ImpossibleNumber, MeterError, Throttled
from pytest_lem.measure.failing import require_completed
from pytest_lem.measure.hits import require_hits
from pytest_lem.measure.laboratory import Bench, Laboratory
from pytest_lem.measure.notebook import Notebook
from pytest_lem.measure.rawing import save_raw
from pytest_lem.measure.recording import cycle_record, error_record
from pytest_lem.measure.repeating import note_repeats
from pytest_lem.measure.stamping import save_stamps
from pytest_lem.measure.throttle import faults
from pytest_lem.measure.window import account
from pytest_lem.records.record import Cycle


def conclude(lab: Laboratory, notes: Notebook) -> Cycle:
    """The record of a cycle that came to its end; raises where it may not count."""
    note_repeats(lab, notes)
    # Requests that fail are what a trial of a search is there to count.
    for run in notes.passes if notes.trial is None else ():
        name = f"{run.kind} window {run.index}"
        require_completed(name, run.generation, lab.conditions.max_failed_pct)
    require_hits(notes)
    save_stamps(lab, notes)
    cycle = cycle_record(lab, notes, "complete")
    _require_laws(lab, notes, cycle)
    if lab.conditions.throttle != "warn":
        cycle = _judge_speed(lab, notes, cycle)
    if lab.conditions.strict:
        _require_energy(lab, cycle)
    return save_raw(lab, notes, cycle)


def broken(lab: Laboratory, notes: Notebook, error: BaseException) -> Cycle:
    """The record of a cycle that did not; its engine is thrown away.

    What it spent is read to its end where it failed; an interrupt waits for no meter.
    """
    lab.drop()
    failed = isinstance(error, Exception)
    if failed and notes.bench is not None:
        lab.metering.settle(_ended_s(notes, notes.bench))
    return cycle_record(lab, notes, "failed" if failed else "interrupted", error)


def _ended_s(notes: Notebook, bench: Bench) -> float:
    """When the last of what is costed was over."""
    ends_s = [bench.load_end_s, *(run.end_s for run in notes.passes)]
    return max(ends_s + ([notes.warmed.end_s] if notes.warmed else []))


def _require_laws(lab: Laboratory, notes: Notebook, cycle: Cycle) -> None:
    """A number that cannot be is never a result."""
    costed = zip(notes.passes, cycle.windows, strict=True)
    accounts = [account(run, window) for run, window in costed]
    limits_w, memory = lab.conditions.power_limits_w, _memory(lab, notes)
    lines = broken_laws(accounts, cycle.metrics, limits_w, memory)
    if lines:
        raise ImpossibleNumber(f"the numbers cannot be: {'; '.join(lines)}")


def _memory(lab: Laboratory, notes: Notebook) -> Memory | None:
    """What a step reads, and from how fast a memory; None where either is unknown."""
    bench, peak = notes.bench, lab.conditions.bandwidth_bytes_per_s
    if bench is None or peak is None or bench.devices == {"cpu"}:
        return None
    generation = bench.loaded.effective.get("generation") or {}
    asked = {
        "engine": notes.experiment.spec.engine,
        "decoder": notes.experiment.workload.decoder,
        "lookup": generation.get("prompt_lookup_num_tokens"),
        "draft": generation.get("assistant_early_exit"),
    }
    held_mb = bench.loaded.memory.get("model_mb")
    read = None if speculates(asked) else weight_bytes(bench.loaded.model, held_mb)
    return None if read is None else Memory(weight_bytes=read, peak_bytes_per_s=peak)


def _judge_speed(lab: Laboratory, notes: Notebook, cycle: Cycle) -> Cycle:
    """The cycle, flagged where nobody can tell whether a GPU was slowed down.

    If one was it fails, or is not to count but to be run again, as often as is allowed.
    """
    found = {f"{w.kind} window {w.index}": faults(w.thermal) for w in cycle.windows}
    slowed = [f"{name}: {', '.join(why)}" for name, why in found.items() if why]
    if slowed:
        mode = lab.conditions.throttle
        error = Throttled(
            f"a GPU was slowed down, in shares of the time: {'; '.join(slowed)} "
            f"(because of --lem-throttle={mode} it does not count)"
        )
        if mode == "fail":
            raise error
        if notes.attempt is None or notes.attempt >= lab.conditions.throttle_reruns:
            return flagged(cycle, "throttled_after_reruns")
        told = {"status": "rerun", "error": error_record(error)}
        return cycle.model_copy(update=told)
    on_cpu = notes.bench is not None and notes.bench.devices == {"cpu"}
    if on_cpu or None not in found.values():
        return cycle
    return flagged(cycle, "throttle_unknown")


def flagged(cycle: Cycle, flag: str) -> Cycle:
    """The cycle with one more flag."""
    return cycle.model_copy(update={"flags": sorted({*cycle.flags, flag})})


def _require_energy(lab: Laboratory, cycle: Cycle) -> None:
    """A meter that was there and said nothing is an error where nothing may be lost."""
    reason = cycle.nulls.get("windows.energy.gross_j")
    if reason and lab.metering.names:
        raise MeterError(
            f"{', '.join(lab.metering.names)} gave no energy for a window: {reason} "
            "(an error because of --lem-strict)"
        )
