"""One cycle of one experiment: engine ready, warm-up, idle, windows, record."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

from pytest_lem.engines import GenerateOptions, Generation
from pytest_lem.errors import GenerationError
from pytest_lem.measure.arriving import check_sent, due_ns
from pytest_lem.measure.asking import asked, check_work
from pytest_lem.measure.conclusion import broken, conclude
from pytest_lem.measure.failing import require_completed
from pytest_lem.measure.laboratory import Bench, Laboratory
from pytest_lem.measure.marks import mark_cycle
from pytest_lem.measure.notebook import Notebook, Warmed, now
from pytest_lem.measure.outputs import save_outputs
from pytest_lem.measure.prompting import WARMUP, prompts_for
from pytest_lem.measure.quality import look_at_quality
from pytest_lem.measure.resting import rest_before
from pytest_lem.measure.tenants import look_for_others
from pytest_lem.measure.warmup import warm_up
from pytest_lem.measure.watching import look_at_memory, watch
from pytest_lem.measure.window import Pass
from pytest_lem.records.record import Cycle
from pytest_lem.spec.experiment import Experiment
from pytest_lem.workload.prompts import token_sha256

LEAST_WINDOWS = 3
LEAST_PERIODS = 20
LEAST_PERIODS_ESTIMATED = 2
UNABLE = "engine_has_no_token_times"


def run_cycle(
    lab: Laboratory,
    experiment: Experiment,
    index: int,
    keep: Callable[[Cycle], None],
    *,
    attempt: int = 0,
) -> Cycle:
    """Measure one cycle and hand it to `keep`, also when it fails or is interrupted.

    One that has to be run again is handed over each time; only the last attempt may
    count, and is returned. Raises what went wrong, after `keep`; the engine is thrown
    away then.
    """
    while (cycle := _attempt(lab, experiment, index, attempt, keep)).status == "rerun":
        lab.start_over(cycle.windows)
        attempt += 1
    return cycle


def _attempt(
    lab: Laboratory,
    experiment: Experiment,
    index: int,
    attempt: int,
    keep: Callable[[Cycle], None],
) -> Cycle:
    notes = Notebook(
        experiment=experiment, index=index, started_at=now(), attempt=attempt
    )
    return carry_out(lab, notes, _measure, keep)


def carry_out(
    lab: Laboratory,
    notes: Notebook,
    measure: Callable[[Laboratory, Notebook], None],
    keep: Callable[[Cycle], None],
) -> Cycle:
    """Measure, conclude and keep; what breaks is kept as well, and raised."""
    again = {"attempt": notes.attempt} if notes.attempt else {}
    again |= {} if notes.trial is None else {"trial": notes.trial}
    lab.metering.concern(experiment=notes.experiment.id, cycle=notes.index, **again)
    try:
        measure(lab, notes)
        cycle = conclude(lab, notes)
    except BaseException as error:
        keep(broken(lab, notes, error))
        raise
    finally:
        mark_cycle(lab.metering, notes)
        lab.progress.clear()
    keep(cycle)
    return cycle


def flag_short(lab: Laboratory, notes: Notebook) -> None:
    """Flag a cycle that saw too few steps of the counter; a model has none."""
    measured_s = sum(p.generation.duration_s for p in notes.energy_passes)
    staircase = lab.metering.basis != "estimated"
    if staircase and measured_s < LEAST_PERIODS * lab.metering.period_s:
        notes.flags.add("short_cycle")


def _measure(lab: Laboratory, notes: Notebook) -> None:
    experiment = notes.experiment
    rest_before(lab, notes)
    bench = lab.bench(experiment, notes.index)
    notes.bench = bench
    notes.flags |= set(bench.loaded.flags)
    look_for_others(lab, notes)
    if experiment.effort.warmup.kind != "off":
        notes.warmed = warm_engine(lab, notes, bench)
        notes.thermal_floor_s = lab.rest_warm()
    # Read warm and just before the windows, so that the two share a temperature.
    notes.idle = lab.idle_of(bench)
    energy_passes(lab, notes, bench)
    if experiment.workload.streaming:
        latency_pass(lab, notes, bench)
    lab.idle_after(bench, notes.idle)
    lab.progress.phase("settle")
    lab.metering.settle(notes.passes[-1].end_s)
    look_for_others(lab, notes)
    look_at_memory(lab, notes, bench)
    look_at_quality(lab, notes, bench)
    save_outputs(lab, notes, bench)
    watch(lab, notes, bench, asked(experiment.workload))


def warm_engine(lab: Laboratory, notes: Notebook, bench: Bench) -> Warmed:
    """Iterations of the windows' own work until the policy has enough."""
    options = _energy_options(lab, notes)

    def iterate(k: int) -> float:
        lab.progress.phase(f"warm-up {k + 1}")
        generation, _ = _generate(notes, bench, WARMUP - k, options)
        name = f"warm-up {k + 1}"
        require_completed(name, generation, lab.conditions.max_failed_pct)
        return generation.duration_s

    start_s = time.monotonic()
    outcome = warm_up(notes.experiment.effort.warmup, iterate)
    workload = notes.experiment.workload
    if workload.streaming and workload.batch_size > 1:
        # Afterwards: what compiles would make the windows' own shape a variable one.
        one = asked(workload, 1, batch_size=1, stamps=True)
        _generate(notes, bench, WARMUP - outcome.iterations, one, count=1)
    warmed = Warmed(outcome=outcome, start_s=start_s, end_s=time.monotonic())
    if outcome.converged is False:
        notes.flags.add("warmup_not_converged")
        if lab.conditions.warmup_unconverged == "fail":
            notes.warmed = warmed
            raise GenerationError(
                "the warm-up did not converge (last coefficient of variation "
                f"{outcome.cv}): allow more iterations with --lem-warmup"
            )
    return warmed


def energy_passes(lab: Laboratory, notes: Notebook, bench: Bench) -> None:
    """Windows one after another until there are enough, or time is up."""
    workload, effort = notes.experiment.workload, notes.experiment.effort
    enough_s = _enough_s(lab, effort.min_seconds)
    due = due_ns(workload, workload.request_count)
    options = replace(_energy_options(lab, notes), due_ns=due)
    able = lab.can_stamp(notes.experiment.spec)
    began_s, measured_s, count = time.monotonic(), 0.0, 0
    while not _enough(effort.windows, count, measured_s, enough_s):
        if count and time.monotonic() - began_s >= effort.max_seconds:
            notes.flags.add("max_seconds_reached")
            break
        lab.progress.phase(f"window {count + 1}", max(0.0, enough_s - measured_s))
        keep = _keeping(notes, "energy", count)
        generation, digest = _generate(notes, bench, count, options, broke=keep)
        run = Pass(
            kind="energy",
            index=count,
            token_sha256=digest,
            generation=generation,
            unstamped="no_token_stamps" if able else UNABLE,
            arrivals=workload.arrivals,
            concurrency=workload.concurrency,
            slo=workload.slo,
        )
        notes.passes.append(run)
        measured_s += generation.duration_s
        count += 1
    flag_short(lab, notes)


def _enough(wanted: int | str, count: int, measured_s: float, enough_s: float) -> bool:
    if isinstance(wanted, int):
        return count >= wanted
    return count >= LEAST_WINDOWS and measured_s >= enough_s


def _enough_s(lab: Laboratory, least_s: float) -> float:
    """Measured time that auto windows need; a model has no staircase to average."""
    if lab.metering.basis is None:
        return 0.0
    estimated = lab.metering.basis == "estimated"
    periods = LEAST_PERIODS_ESTIMATED if estimated else LEAST_PERIODS
    return max(least_s, periods * lab.metering.period_s)


def latency_pass(lab: Laboratory, notes: Notebook, bench: Bench) -> None:
    """Requests with a stamp for each token, the first ones left out.

    They are sent one at a time, or as the workload's load says.
    """
    workload = notes.experiment.workload
    left_out = workload.streaming_warmup_requests
    count = workload.latency_request_count
    options = replace(
        asked(workload, count, batch_size=1, stamps=True),
        due_ns=due_ns(workload, count),
        concurrency=workload.concurrency,
    )
    if options.paced:
        options = replace(options, batch_size=workload.batch_size)
    lab.progress.phase(f"latency window, {count} requests")
    index = len(notes.passes)
    keep = _keeping(notes, "latency", index)
    generation, digest = _generate(
        notes, bench, index, options, count=count, broke=keep
    )
    run = Pass(
        kind="latency",
        index=index,
        token_sha256=digest,
        generation=generation,
        left_out=left_out,
        unstamped=UNABLE,
        tokenise_ms=notes.tokenise_ms,
        arrivals=workload.arrivals,
        concurrency=workload.concurrency,
        slo=workload.slo,
    )
    notes.passes.append(run)
    if workload.batch_size > 1 and not options.paced:
        notes.flags.add("latency_at_batch_1")


def _keeping(
    notes: Notebook, kind: Literal["energy", "latency"], index: int
) -> Callable[[str, Generation], None]:
    """Notes what the requests of a pass did in which the engine failed."""

    def keep(digest: str, generation: Generation) -> None:
        run = Pass(
            kind=kind,
            index=index,
            token_sha256=digest,
            generation=generation,
            slo=notes.experiment.workload.slo,
        )
        notes.passes.append(run)

    return keep


def _generate(
    notes: Notebook,
    bench: Bench,
    window: int,
    options: GenerateOptions,
    *,
    count: int | None = None,
    broke: Callable[[str, Generation], None] | None = None,
) -> tuple[Generation, str]:
    workload = notes.experiment.workload
    requests = prompts_for(
        workload, bench, notes.draw, window, count or workload.request_count
    )
    notes.tokenise_s = requests.tokenise_s
    notes.tokenise_ms = requests.tokenise_ms
    notes.cut = requests.cut
    notes.chat_template_sha256 = requests.chat_template_sha256
    digest = token_sha256(requests.prompts)
    generation = bench.client.generate(
        requests.prompts,
        options,
        broke=None if broke is None else partial(broke, digest),
    )
    check_work(requests.prompts, generation, options)
    check_sent(generation, options)
    return generation, digest


def _energy_options(lab: Laboratory, notes: Notebook) -> GenerateOptions:
    """As the workload says, with stamps where phases are wanted and can be told."""
    experiment = notes.experiment
    stamps = lab.conditions.phases and lab.can_stamp(experiment.spec)
    options = asked(experiment.workload, stamps=stamps)
    return replace(options, concurrency=experiment.workload.concurrency)
