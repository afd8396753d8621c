"""What people read on the terminal: header, plan, headline and summary table.

These functions compute and return text; the front door prints it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.records.joining import traces_of
from pytest_lem.records.record import ExperimentRecord, Record
from pytest_lem.records.result import Metric, Result
from pytest_lem.report import (
    arrivals,
    cold,
    failures,
    goodput,
    latency,
    phases,
    search,
    stopping,
)
from pytest_lem.report.table import (
    GUESSES,
    NONE,
    cell,
    mark,
    plain,
    short_names,
    spread,
    table,
    visible,
)
from pytest_lem.store.place import Place

CAPTION = (
    "Per output token: gross energy, and net of idle power. Means over n cycles, "
    "± half of the 95 % interval."
)

FLAGS = {
    "estimated_energy": "energy is a model's estimate, not a measurement (~)",
    "replayed_energy": "energy comes from a recorded trace",
    "synthetic_energy": "energy comes from a fake meter",
    "migrated": "another program measured this, by methods of its own",
    "fake_engine": "the engine is a script",
    "cold_start": "the first pass after a load in a fresh process, not warmed up",
    "shared_process": "cycles share a process: their intervals are within one session",
    "several_places": "cycles ran on several GPUs or nodes of one kind: so they spread",
    "custom_loop": "the test's own loop was measured, without a warm-up by the plugin",
    "prefix_cache_hits": "prompts began alike within a pass: part was not computed",
    "preempted": "the engine began requests again, for want of room in its cache",
    "batch_size_limited": "the engine runs fewer at once than batch_size",
    "token_stamped": "energy was measured while each token was stamped",
    "phases_unresolved": "prefill or decode was too short for the meter to tell apart",
    "search_undecided": "a rate above the one found was neither passed nor failed",
    "search_unsure": "the cycles at the rate found do not show the share by themselves",
    "unsupported_percentiles": "too few requests: p95 needs 90 of them, p99 459 (?)",
    "few_cycles": "fewer than 5 cycles: intervals are wide",
    "narrow_interval": "bootstrapped from fewer than 10 cycles: intervals too narrow",
    "drifting": "values rise or fall from cycle to cycle: they are no repetitions",
    "autocorrelated": "a cycle is like the one before: intervals are too narrow",
    "unstable": "the values spread by more than lem_max_cv between cycles",
    "warmup_not_converged": "measured before the engine was steady",
    "max_seconds_reached": "windows ended by --lem-max-seconds",
    "short_cycle": "measured for less than 20 steps of the energy counter",
    "failed_requests": "requests failed: they have no latency, and are not good",
    "saturated": "requests came faster than the engine was done with them",
    "sent_late": "the 99th percentile of requests was sent over 1 ms after it was due",
    "served_singly": "requests came at their times and ran one by one: see batch_size",
    "requests_queued": "more requests were in flight than the engine runs at once",
    "latency_at_batch_1": "latency was measured one request at a time",
    "reading_gap": "the meter missed readings inside a window",
    "ring_gap": "the driver's power samples have a hole inside a window",
    "counter_ring_disagree": "energy counter and power samples differ by over 5 %",
    "meters_disagree": "two meters of the same thing differ by over 5 %",
    "net_invalid": "no net energy: idle power may not be subtracted; nulls say why",
    "net_forced": "net energy of a shared GPU, forced by lem_idle_force",
    "gpu_busy_at_idle": "a GPU was at work while idle power was read",
    "cached_idle": "idle power was read earlier; the record has its age",
    "net_clamped": "idle power was above the power measured",
    "host_overhead": "over 1 % of window time was spent outside generation",
    "ranks_unbalanced": "the slowest of several processes held the others up",
    "gpus_unused": "GPUs of the run had no part in it: their joules count too",
    "offloaded": "part of the model lay on no device that computes: it was fetched",
    "attention_fallback": "another attention kernel than asked for was used",
    "not_as_requested": "the engine runs otherwise than asked for; effective says how",
    "compile_fallback": "the model could not be compiled and ran as it was",
    "compiled_in_window": "something compiled inside a window: warm up with its shapes",
    "graphs_recorded_in_window": "CUDA graphs were recorded inside a window",
    "cuda_graphs_skipped": "torch ran without the CUDA graphs that its mode asks for",
    "no_cuda_graphs": "the mode of torch_compile is CUDA graphs, and there is no GPU",
    "itl_per_chunk": "tokens came several at a time: times between them are of chunks",
    "iteration_stats_dropped": "the engine lost statistics of steps that it ran",
    "counter_reset": "the energy counter began anew",
    "mig_whole_gpu": "energy is that of the whole GPU, not of its MIG instance",
    "foreign_process": "other processes used a GPU of the run: their joules count too",
    "neighbours_measured": "other GPUs, or workers of -n, measured here meanwhile",
    "exclusive_unknown": "nobody can tell whether a GPU was used by others",
    "uncertain_energy": "energy is less certain than lem_max_uncertainty asks for",
    "module_scope_energy": "energy is that of the whole module, its CPU included",
    "cached_prompts_repeat": "prefix caching is on, and prompts were asked before",
    "residual_memory": "an unloaded engine held more than lem_residual_memory_mb",
    "synthetic_perplexity": "perplexity of random weights means nothing",
    "quality_failed": "the perplexity asked for could not be found: see nulls",
    "outputs_not_saved": "--lem-save-outputs, and the texts could not be kept",
    "stamps_not_saved": "--lem-save-stamps, and the times could not be kept",
    "raw_not_saved": "--lem-save-raw, and what processes did could not be kept",
    "partial": "not all that processes wrote is in it: no gate judges by it",
    "mixed_backends": "processes of several backends are in it: no gate judges by it",
    "processes_apart": "processes hardly ran at the same time: no gate judges by it",
    "profile_failed": "--lem-torch-profile, and the engine made no profile",
    "power_capped": "the GPU ran at its power limit",
    "throttled_thermal": "the GPU slowed down because it was hot",
    "throttled_power_brake": "the GPU was slowed down by its power supply",
    "throttled_slowdown": "the hardware slowed the GPU down",
    "throttle_unknown": "nobody can tell whether a GPU was slowed down in a window",
    "throttled_after_reruns": "a GPU was slowed down in every attempt at a cycle",
    "cycle_rerun": "cycles were run again, for a slow GPU or by --lem-retries",
    "thermal_wait_timeout": "a GPU was warmer than --lem-thermal asks for",
    "throttled_board_limit": "the board's limit slowed the GPU down",
    "starved": "a GPU had nothing to do in half of a window's samples",
    "temperature_rise": "the GPU warmed by more than 10 C in a window",
    "revision_ignored_local": "a revision means nothing for a local model",
    "sampler_failed": "a meter stopped answering",
    "readings_refused": "a meter told what cannot be; those readings were left out",
    "sampler_stalled": "a meter had not answered for over a second",
    "sampling_loss": "the meter missed over a fifth of its readings",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What a session is about to do, for header and plan.

    `open_ended` where cycles end by their precision, so that `steps` are the most;
    `left_out` points of grids cannot be. `pilots` says of how many cycles time and
    energy are known from earlier sessions.
    """

    version: str
    backends: Sequence[str]
    meter: str
    gpus: Sequence[str]
    experiments: int
    steps: int
    estimate_s: float
    order: str
    seed: int
    reports: Sequence[str]
    gaps: str = "no gaps"
    references: Sequence[str] = ()
    profile: str = ""
    search: str = ""
    open_ended: bool = False
    left_out: int = 0
    resumed: Sequence[str] = ()
    pilots: tuple[int, int] = (0, 0)
    estimate_j: float | None = None


def header(outline: Outline) -> list[str]:
    """The lines below the number of collected items."""
    gpus = ", ".join(outline.gpus) or "none"
    lines = [
        (
            f"lem {outline.version}: {', '.join(outline.backends)}; "
            f"meter {outline.meter}; GPUs: {gpus}"
        ),
        (
            f"lem plan: {_counts(outline)} "
            f"{_how(outline)}, "
            f"about {duration(outline.estimate_s)}"
        ),
    ]
    lines += [*_resumed_lines(outline), *_search_lines(outline)]
    if outline.reports:
        lines.append(f"lem reports: {', '.join(outline.reports)}")
    if outline.references:
        lines.append(f"lem reference: {', '.join(map(visible, outline.references))}")
    return lines


def _how(outline: Outline) -> str:
    """Order, gaps, seed, and the profile if there is one."""
    profile = f", profile {outline.profile}" if outline.profile else ""
    return f"{outline.order}, {outline.gaps}, seed {outline.seed}{profile}"


def _counts(outline: Outline) -> str:
    """How many experiments and cycles."""
    most = "at most " if outline.open_ended else ""
    without = f" ({outline.left_out} left out of grids)" if outline.left_out else ""
    return f"{outline.experiments} experiments{without}, {most}{outline.steps} cycles"


def plan_lines(
    outline: Outline, steps: Sequence[tuple[str, int]], limit: int = 40
) -> list[str]:
    """The plan for `--lem-plan`: counts, estimates and the order of the cycles."""
    counts = _counts(outline)
    shown = [
        f"  {k + 1:>4}  cycle {c + 1}  {visible(n)}" for k, (n, c) in enumerate(steps)
    ]
    rest = len(shown) - limit
    return [
        (f"lem plan: {counts}, {_how(outline)}; nothing is run"),
        f"estimated time: {duration(outline.estimate_s)} {_source(outline, steps)}",
        *_search_lines(outline),
        f"estimated energy: {_estimated_energy(outline, steps)}",
        *shown[:limit],
        *([f"  ... and {rest} more"] if rest > 0 else []),
    ]


def _source(outline: Outline, steps: Sequence[tuple[str, int]]) -> str:
    """What the estimate of the time rests on."""
    timed = outline.pilots[0]
    if not timed:
        return "(a guess from settings)"
    guessed = f", {left} by a guess" if (left := len(steps) - timed) else ""
    return f"({timed} cycles as in earlier sessions{guessed})"


def _estimated_energy(outline: Outline, steps: Sequence[tuple[str, int]]) -> str:
    """The joules that are known, and of how many cycles they are not."""
    if outline.estimate_j is None:
        return "unknown (no experiment of this plan was measured before)"
    metered = outline.pilots[1]
    without = f"; of {left} nothing is known" if (left := len(steps) - metered) else ""
    return (
        f"{joules(outline.estimate_j)} for loads, warm-ups and windows ({metered} "
        f"cycles as in earlier sessions{without})"
    )


def joules(energy_j: float) -> str:
    """Joules as people say them."""
    if energy_j < 1e4:
        return f"{energy_j:.3g} J"
    return (
        f"{energy_j / 1e3:.3g} kJ"
        if energy_j < 3.6e6
        else f"{energy_j / 3.6e6:.3g} kWh"
    )


def headline(result: Result) -> str:
    """The one number of a test, with its interval: for the line under `-v`."""
    name = "energy_per_output_token_j"
    metric: Metric = getattr(result, name)
    if not metric.exists:
        name = "output_throughput_tps"
        metric = getattr(result, name)
    if not metric.exists:
        return "nothing measured"
    estimated = "~" if name.startswith("energy") and _guessed(result) else ""
    cycles = f"{metric.n} cycle{'s' if metric.n != 1 else ''}"
    return f"{estimated}{metric:.4g} {metric.unit}{_half(metric)}, {cycles}"


def properties(result: Result) -> list[tuple[str, object]]:
    """The numbers for JUnit: each metric that exists, and the flags."""
    found: list[tuple[str, object]] = [
        (f"lem_{name}", getattr(result, name).value)
        for name in METRICS
        if getattr(result, name).exists
    ]
    return [*found, ("lem_flags", " ".join(sorted(result.flags)))]


def summary(
    record: Record,
    width: int,
    written: Sequence[Path],
    store: Place | None = None,
) -> list[str]:
    """The table, what its flags mean, and where the reports and records are."""
    notes = [f"no energy: {visible(reason)}" for reason in _reasons(record)]
    notes += stopping.lines(record)
    places = [f"report: {visible(str(path))}" for path in written]
    if store is not None:
        places.append(f"store: {visible(str(store))}")
    places += (f"traces: {visible(one['trace_path'])}" for one in traces_of(record))
    apart = phases.rows(record)
    cut = [phases.CAPTION, *table(apart, width)] if apart else []
    timed = latency.rows(record)
    late = [latency.CAPTION, *table(timed, width)] if timed else []
    judged = goodput.rows(record)
    good = [goodput.CAPTION, *table(judged, width)] if judged else []
    begun = cold.rows(record)
    loads = [cold.CAPTION, *table(begun, width)] if begun else []
    sought = search.rows(record)
    rates = [search.CAPTION, *table(sought, width)] if sought else []
    came = arrivals.rows(record)
    sent = [arrivals.CAPTION, *table(came, width)] if came else []
    broke = failures.rows(record)
    failed = [failures.CAPTION, *table(broke, width)] if broke else []
    main = table(rows(record), width)
    parts = [*main, *cut, *late, *good, *loads, *rates, *sent, *failed]
    return [CAPTION, *parts, *notes, *legend(record), *places]


def rows(record: Record) -> list[dict[str, str]]:
    """One row per experiment, as text by column."""
    numbers, names = numbered_flags(record), short_names(record)
    return [_row(one, numbers, names[one.id]) for one in record.experiments]


def legend(record: Record) -> list[str]:
    """What the numbers of flags mean, a line for each."""
    return [
        f"flag {number} {visible(flag)}: {FLAGS.get(flag, 'see the record')}"
        for flag, number in numbered_flags(record).items()
    ]


def numbered_flags(record: Record) -> dict[str, int]:
    """Each flag of the record with the number that stands for it in the table."""
    flags = sorted({flag for one in record.experiments for flag in one.flags})
    return {flag: number for number, flag in enumerate(flags, start=1)}


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _resumed_lines(outline: Outline) -> list[str]:
    """What of the plan an earlier session has done."""
    return [f"lem resume: {visible(line)}" for line in outline.resumed]


def _search_lines(outline: Outline) -> list[str]:
    """The trials that come before the cycles; nobody knows how many there will be."""
    if not outline.search:
        return []
    which = f"lem search: {outline.search}, before the cycles of each experiment"
    return [f"{which}; how many trials it takes is in no estimate"]


def _row(
    experiment: ExperimentRecord, numbers: Mapping[str, int], name: str
) -> dict[str, str]:
    energy = "energy_per_output_token_j"
    speed = experiment.summary.get("output_throughput_tps")
    estimated = mark(experiment)
    return {
        "experiment": visible(name),
        "J/token": cell(experiment.summary.get(energy), estimated),
        "net J/token": cell(
            experiment.summary.get("energy_per_output_token_net_j"), estimated
        ),
        "tokens/s": cell(speed, ""),
        "TTFT ms": plain(experiment.summary.get("ttft_p50_ms")),
        "W": estimated + plain(experiment.summary.get("avg_power_w"))
        if "avg_power_w" in experiment.summary
        else NONE,
        "n": str(sum(cycle.status == "complete" for cycle in experiment.cycles)),
        "flags": " ".join(str(numbers[flag]) for flag in experiment.flags) or NONE,
    }


def _guessed(result: Result) -> bool:
    return bool(GUESSES & result.flags)


def _half(metric: Metric) -> str:
    return spread(metric.value, metric.low, metric.high)


def _reasons(record: Record) -> list[str]:
    """Why energy of what was measured does not exist, each reason once."""
    name = "summary.energy_per_output_token_j"
    measured = [e for e in record.experiments if e.summary]
    return sorted({e.nulls[name] for e in measured if name in e.nulls})
