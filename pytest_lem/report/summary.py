"""What people read on the terminal when a session has ended: tables, flags, places.

These functions compute and return text; the front door prints it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_lem.records.joining import traces_of
from pytest_lem.records.record import ExperimentRecord, Record
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
    NONE,
    cell,
    mark,
    plain,
    short_names,
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

_PARTS = (phases, latency, goodput, cold, search, arrivals, failures)


class Summary:
    """The text of a record, whose experiments are told one at a time.

    `head` is a record without them. Of each are kept its rows, and nothing else.
    """

    def __init__(self, head: Record) -> None:
        self._head = head
        self._main: dict[str, dict[str, str]] = {}
        self._flags: dict[str, list[str]] = {}
        self._parts: list[dict[str, dict[str, str]]] = [{} for _ in _PARTS]
        self._reasons: set[str] = set()
        self._stopped: dict[str, str] = {}

    def take(self, one: ExperimentRecord) -> None:
        """Take in what is said of an experiment."""
        self._main[one.id], self._flags[one.id] = _row(one), one.flags
        for part, found in zip(_PARTS, self._parts, strict=True):
            if (row := part.row(one)) is not None:
                found[one.id] = row
        energy = "summary.energy_per_output_token_j"
        if one.summary and energy in one.nulls:
            self._reasons.add(one.nulls[energy])
        if one.stopping is not None:
            self._stopped[one.id] = stopping.told(one.stopping)

    def lines(
        self, width: int, written: Sequence[Path], store: Place | None = None
    ) -> list[str]:
        """The tables, what flags mean, and where the reports and records are."""
        names = short_names(self._main)
        lines = [CAPTION, *table(self.rows(), width)] if names else []
        for part, found in zip(_PARTS, self._parts, strict=True):
            if found:
                rows = [_named(names[name], row) for name, row in found.items()]
                rows = failures.of_kinds(rows) if part is failures else rows
                lines += [part.CAPTION, *table(rows, width)]
        lines += [f"no energy: {visible(one)}" for one in sorted(self._reasons)]
        for name, told in self._stopped.items():
            lines.append(f"precision of {visible(names[name])}: {told}")
        return [*lines, *self.legend(), *self._places(written, store)]

    def rows(self) -> list[dict[str, str]]:
        """One row per experiment, as text by column."""
        numbers, names = self.numbered_flags(), short_names(self._main)
        rows = [_named(names[name], row) for name, row in self._main.items()]
        for row, flags in zip(rows, self._flags.values(), strict=True):
            row["flags"] = " ".join(str(numbers[flag]) for flag in flags) or NONE
        return rows

    def legend(self) -> list[str]:
        """What the numbers of flags mean, a line for each."""
        return [
            f"flag {number} {visible(flag)}: {FLAGS.get(flag, 'see the record')}"
            for flag, number in self.numbered_flags().items()
        ]

    def numbered_flags(self) -> dict[str, int]:
        """Each flag of the record with the number that stands for it in the table."""
        flags = sorted({flag for some in self._flags.values() for flag in some})
        return {flag: number for number, flag in enumerate(flags, start=1)}

    def _places(self, written: Sequence[Path], store: Place | None) -> Iterator[str]:
        yield from (f"report: {visible(str(path))}" for path in written)
        if store is not None:
            yield f"store: {visible(str(store))}"
        for one in traces_of(self._head):
            yield f"traces: {visible(one['trace_path'])}"


def summary(record: Record) -> Summary:
    """The text of a whole record."""
    found = Summary(record)
    for one in record.experiments:
        found.take(one)
    return found


def _named(name: str, row: dict[str, str]) -> dict[str, str]:
    return {"experiment": visible(name), **row}


def _row(experiment: ExperimentRecord) -> dict[str, str]:
    energy = "energy_per_output_token_j"
    speed = experiment.summary.get("output_throughput_tps")
    estimated = mark(experiment)
    return {
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
    }
