"""From cycles to an experiment's record."""

import pytest

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.analysis.stats import Statistics
from pytest_lem.records.assemble import all_flags, complete, null_reasons, summaries
from pytest_lem.records.extended import Residue

ENERGY = "energy_per_output_token_j"
SPEED = "output_throughput_tps"


@pytest.fixture
def experiment(make_record):
    """The one experiment's record made from cycles."""
    return lambda *cycles, **others: make_record(list(cycles), **others).experiments[0]


def test_the_summary_pools_complete_cycles_only(make_cycle, experiment):
    """A failed cycle is listed with its cause and enters no number."""
    error = {"kind": "timeout", "type": "Timeout", "message": "m", "detail": ""}
    cycles = [
        make_cycle(0, **{SPEED: 10.0}),
        make_cycle(1, status="failed", error=error, **{SPEED: 999.0}),
        make_cycle(2, status="interrupted", **{SPEED: 999.0}),
        make_cycle(3, **{SPEED: 20.0}),
    ]
    found = experiment(*cycles)
    assert found.summary[SPEED].value == 15.0
    assert found.summary[SPEED].n == 2
    assert found.excluded == [
        {"cycle": 1, "cause": "timeout"},
        {"cycle": 2, "cause": "interrupted"},
    ]
    assert [one.index for one in complete(cycles)] == [0, 3]
    assert len(found.cycles) == 4


def test_attempts_that_were_run_again_are_listed_and_do_not_count(
    make_cycle, experiment
):
    """Nor do their flags; that there were some is one."""
    error = {"kind": "throttled", "type": "Throttled", "message": "m", "detail": ""}
    hot = {"status": "rerun", "error": error, "flags": ["throttled_thermal"]}
    found = experiment(
        make_cycle(0, **hot, **{SPEED: 1.0}), make_cycle(0, **{SPEED: 10.0})
    )
    assert found.summary[SPEED].value == 10.0
    assert found.excluded == [{"cycle": 0, "cause": "throttled"}]
    assert "cycle_rerun" in found.flags
    assert "throttled_thermal" not in found.flags


def test_a_summary_says_everything_of_its_metric(make_cycle, experiment):
    """Value, unit, spread and interval with its name."""
    found = experiment(*[make_cycle(k, **{ENERGY: 1.0 + k}) for k in range(3)])
    one = found.summary[ENERGY].model_dump()
    assert one["ci_low"] < 2.0 < one["ci_high"]
    del one["ci_low"], one["ci_high"]
    assert one == {
        "value": 2.0,
        "unit": "J/token",
        "n": 3,
        "mean": 2.0,
        "std": 1.0,
        "cv": 0.5,
        "min": 1.0,
        "max": 3.0,
        "median": 2.0,
        "ci_level": 0.95,
        "ci_method": "t",
        "within_cycle_std": None,
        "between_cycles_std": None,
    }


def test_a_metric_missing_in_one_cycle_is_pooled_over_the_others(make_cycle):
    """Its n says how many there were."""
    cycles = [make_cycle(0, **{ENERGY: 3.0, SPEED: 1.0}), make_cycle(1, **{SPEED: 1.0})]
    found = summaries(cycles)
    assert (found[ENERGY].n, found[SPEED].n) == (1, 2)


def test_the_summary_keeps_the_order_of_the_table(make_cycle):
    """Equal sessions write equal files."""
    found = summaries([make_cycle(**{SPEED: 1.0, ENERGY: 1.0, "duration_s": 1.0})])
    assert list(found) == [name for name in METRICS if name in found]


def test_every_metric_is_in_the_summary_or_null_with_a_reason(make_cycle, experiment):
    """Nothing is silently absent."""
    cycle = make_cycle(**{SPEED: 1.0}, nulls={ENERGY: "no_meter"})
    found = experiment(cycle)
    for name in METRICS:
        assert (name in found.summary) != (f"summary.{name}" in found.nulls)
    assert found.nulls[f"summary.{ENERGY}"] == "no_meter"
    assert found.nulls["summary.ttft_p50_ms"] == "no_complete_cycle"
    assert found.nulls["gate"] == "no_reference_asked_for"


def test_the_last_cycles_reason_counts_and_none_is_kept_for_a_value(
    make_cycle, experiment
):
    """A reason that no longer holds is not told."""
    cycles = [
        make_cycle(0, nulls={ENERGY: "no_window", SPEED: "a", "idle": "idle_off"}),
        make_cycle(1, **{ENERGY: 1.0}, nulls={SPEED: "b"}),
    ]
    found = experiment(*cycles)
    assert null_reasons(cycles)[SPEED] == "b"
    assert found.nulls[f"summary.{SPEED}"] == "b"
    assert ENERGY not in found.nulls
    assert found.nulls["idle"] == "idle_off"


def test_a_schedulers_cache_and_queue_are_in_the_extended_groups(
    make_cycle, make_window, experiment
):
    """Hits over queries of all energy windows; the last window's times in the queue."""
    told = {
        "prefix_cache_queries": 300,
        "prefix_cache_hits": 60,
        "kv_cache_capacity_tokens": 4096,
        "kv_cache_peak_pct": None,
        "preemptions": 2,
        "nulls": {"kv_cache_peak_pct": "given_back_within_a_step"},
    }
    other = {**told, "prefix_cache_queries": 100, "prefix_cache_hits": 40}
    times = {"queue_ms": {"mean": 3.0}, "prefill_ms": None, "decode_ms": None}
    latency = {"e2e_ms": {"mean": 9.0}, "engine_times": times}
    windows = [
        make_window(scheduler=told),
        make_window(scheduler=other, latency=latency),
    ]
    found = experiment(make_cycle(windows=windows))
    cache = found.extended["kv_cache"]
    assert cache["hit_rate"] == 0.25
    assert (cache["capacity_tokens"], cache["preemptions"]) == (4096, 4)
    reason = found.nulls["extended.kv_cache.peak_pct"]
    assert (cache["peak_pct"], reason) == (None, "given_back_within_a_step")
    assert found.extended["request_latency"]["queue_ms"] == {"mean": 3.0}
    why = found.nulls["extended.request_latency.prefill_ms"]
    assert why == "not_reported_by_engine"


def test_the_extended_groups_have_the_same_keys_whatever_is_known(
    make_cycle, make_window, experiment
):
    """Unknown is null with a reason, never absent and never 0."""
    window = make_window(
        memory={"inference_peak_mb": 7.0, "rss_peak_mb": 9.0, "kv_cache_mb": 2.0},
        tokens={"input": 300, "output": 100, "padding": 100},
        batches=[4, 2],
        latency={"e2e_ms": {"mean": 1.0}},
        thermal={"utilisation_mean_pct": 80.0},
        speculation={"verify_calls": 40, "drafted_tokens": 80, "accepted_tokens": 60},
    )
    rich = experiment(
        make_cycle(
            windows=[window],
            memory_model_mb=5.0,
            load={"duration_s": 1.0, "energy_j": None, "load_peak_mb": 6.0},
            machine={"memory": {"device_used_mb": 11.0, "process_used_mb": None}},
            nulls={"windows.memory.kv_cache_read_mb": "not_asked_for"},
        )
    )
    poor = experiment(make_cycle(windows=[make_window(batches=[])]))
    failed = experiment(make_cycle(status="failed"))
    keys = [
        {group: set(values) for group, values in found.extended.items()}
        for found in (rich, poor, failed)
    ]
    assert keys[0] == keys[1] == keys[2]
    assert rich.extended["memory"] == {
        "model_mb": 5.0,
        "load_peak_mb": 6.0,
        "inference_peak_mb": 7.0,
        "reserved_peak_mb": None,
        "rss_peak_mb": 9.0,
        "device_used_mb": 11.0,
        "process_used_mb": None,
        "residual_mb": None,
    }
    assert rich.extended["kv_cache"] == {
        "used_mb": 2.0,
        "read_mb": None,
        "hit_rate": None,
        "capacity_tokens": None,
        "peak_pct": None,
        "preemptions": None,
    }
    assert rich.nulls["extended.kv_cache.read_mb"] == "not_asked_for"
    assert rich.extended["batch"] == {
        "effective_batch_size": 3.0,
        "padding_overhead": 0.25,
    }
    assert rich.extended["gpu_utilisation"] == {"mean_pct": 80.0}
    assert rich.extended["speculation"] == {
        "verify_calls": 40,
        "drafted_tokens": 80,
        "accepted_tokens": 60,
        "acceptance_rate": 0.75,
        "tokens_per_call": 2.5,
    }
    for found in (rich, poor, failed):
        for group, values in found.extended.items():
            for key, value in values.items():
                named = f"extended.{group}.{key}" in found.nulls
                assert named == (value is None), (group, key)


def test_memory_that_stayed_after_the_unload_is_a_flag(make_cycle, experiment):
    """It is found when the cycles are long on the disk."""
    over = experiment(make_cycle(), residue=Residue(mb=2000.0, over=True))
    assert over.extended["memory"]["residual_mb"] == 2000.0
    assert "residual_memory" in over.flags
    unknown = experiment(make_cycle(), residue=Residue(mb=None, reason="no_driver"))
    assert unknown.nulls["extended.memory.residual_mb"] == "no_driver"
    assert "residual_memory" not in unknown.flags


def test_percentiles_have_the_mean_ends_of_their_cycles(
    make_cycle, make_window, experiment
):
    """Null where a cycle has none; of too few values where one has too few."""
    sure = {"p95_low": 4.0, "p95_high": 8.0, "p99_low": 5.0, "p99_high": 9.0}
    vague = {**sure, "p95_low": 2.0, "p99_high": None, "unsupported": ["p99"]}
    cycles = [
        make_cycle(k, latency={"ttft_ms": one}, windows=[make_window()])
        for k, one in enumerate(({**sure, "unsupported": []}, vague))
    ]
    found = experiment(*cycles)
    ends = found.extended["percentiles"]
    assert (ends["ttft_p95_low_ms"], ends["ttft_p95_high_ms"]) == (3.0, 8.0)
    assert (ends["ttft_p99_low_ms"], ends["ttft_p99_high_ms"]) == (5.0, None)
    assert ends["unsupported"] == ["ttft_p99_ms"]


def test_a_value_of_one_cycle_leaves_no_reason_of_another(make_cycle, experiment):
    """What the first could not read and the second did is known."""
    name = "extended.memory.device_used_mb"
    blind = make_cycle(0, nulls={name: "no_driver"})
    seeing = make_cycle(1, machine={"memory": {"device_used_mb": 3.0}})
    found = experiment(blind, seeing)
    assert found.extended["memory"]["device_used_mb"] == 3.0
    assert name not in found.nulls
    assert experiment(blind).nulls[name] == "no_driver"


@pytest.mark.parametrize(("count", "flagged"), [(1, True), (4, True), (5, False)])
def test_few_cycles_are_flagged(make_cycle, experiment, count, flagged):
    """Below five the interval is wide."""
    found = experiment(*[make_cycle(k, **{SPEED: 1.0}) for k in range(count)])
    assert ("few_cycles" in found.flags) is flagged


@pytest.mark.parametrize(
    ("metric", "spread", "flagged"),
    [(SPEED, 0.3, True), (ENERGY, 0.3, True), (SPEED, 0.05, False)],
)
def test_a_spread_over_a_tenth_is_flagged(
    make_cycle, experiment, metric, spread, flagged
):
    """Of energy or speed, as the coefficient of variation."""
    low, high = make_cycle(0, **{metric: 1 - spread}), make_cycle(1, **{metric: 1.0})
    assert ("unstable" in experiment(low, high).flags) is flagged


def test_the_spread_of_cycles_is_told_apart_from_that_of_windows(
    make_cycle, make_window, experiment
):
    """Of what a window has as its cycle does; sums have no such parts."""

    def cycle(index, *durations_s):
        windows = [make_window(duration_s=one) for one in durations_s]
        return make_cycle(index, windows=windows, **{SPEED: 1.0, "energy_gross_j": 1.0})

    found = experiment(cycle(0, 1.0, 2.0), cycle(1, 4.0, 4.0)).summary
    assert found[SPEED].within_cycle_std == pytest.approx(25.0)
    # Means 75 and 25: their variance less that of a mean of two windows.
    expected = (25.0**2 * 2 - 25.0**2 / 2) ** 0.5
    assert found[SPEED].between_cycles_std == pytest.approx(expected)
    assert found["energy_gross_j"].between_cycles_std is None


def test_a_flag_says_that_cycles_follow_an_order(make_cycle, experiment):
    """What warms up, or falls back and forth slowly, is no repetition."""
    rising = [make_cycle(k, **{SPEED: 1.0 + k / 10}) for k in range(8)]
    assert {"drifting", "autocorrelated"} <= set(experiment(*rising).flags)
    steady = [make_cycle(k, **{SPEED: 1.0 + k % 2 / 10}) for k in range(8)]
    assert not {"drifting", "autocorrelated"} & set(experiment(*steady).flags)


def test_a_bootstrap_of_few_cycles_is_flagged(make_cycle, experiment):
    """Below ten its interval is too narrow; the limit of spread is as asked."""
    cycles = [make_cycle(k, **{SPEED: 1.0 + k % 3}) for k in range(10)]
    asked = Statistics(ci="bootstrap", resamples=100, max_cv=0.9)
    assert experiment(*cycles, asked=asked).flags == []
    few = experiment(*cycles[:9], asked=asked)
    assert few.flags == ["narrow_interval"]
    assert few.summary[SPEED].ci_method == "bootstrap"


def test_the_record_says_what_precision_was_reached(make_cycle, experiment):
    """And how many cycles the asked one would take; null where the number is fixed."""
    cycles = [make_cycle(k, **{SPEED: 10.0 + k % 2}) for k in range(6)]
    asked = Statistics(ci="repeated", precision=0.02)
    found = experiment(*cycles, asked=asked)
    half = found.summary[SPEED].ci_high - found.summary[SPEED].mean
    assert found.stopping == {
        "metric": SPEED,
        "asked_pct": 2.0,
        "reached_pct": pytest.approx(100 * half / 10.5),
        "reached": False,
        "cycles": 6,
        "needed_cycles": 50,
    }
    assert experiment(*cycles).stopping is None
    coarse = Statistics(ci="repeated", precision=0.2)
    assert experiment(*cycles, asked=coarse).stopping["reached"]
    assert not experiment(*cycles[:4], asked=coarse).stopping["reached"]
    assert experiment(asked=coarse).stopping["reached_pct"] is None


def test_flags_of_cycles_and_windows_are_the_experiments(
    make_cycle, make_window, experiment
):
    """Sorted and each once; a short window alone says nothing of the cycle."""
    window = make_window(flags=["reading_gap", "short_window"])
    cycle = make_cycle(flags=["fake_engine"], windows=[window, window])
    assert all_flags(cycle) == {"fake_engine", "reading_gap"}
    assert experiment(cycle).flags == ["fake_engine", "reading_gap"]


@pytest.mark.parametrize(
    ("flag", "synthetic"),
    [
        ("fake_engine", True),
        ("replayed_energy", True),
        ("synthetic_energy", True),
        ("estimated_energy", False),
    ],
)
def test_numbers_that_nobody_measured_are_synthetic(
    make_cycle, experiment, flag, synthetic
):
    """A gate must know; an estimate of real work is another thing."""
    assert experiment(make_cycle(flags=[flag])).synthetic is synthetic


def test_random_weights_are_told_by_the_model(make_cycle, experiment):
    """Apart from the numbers, which may be real."""
    assert experiment(make_cycle(model={"synthetic_weights": True})).synthetic_weights
    assert not experiment(make_cycle()).synthetic_weights


def test_what_was_asked_for_is_in_the_record(make_cycle, experiment):
    """Spec, workload, effort and trust, also where they were left at their default."""
    found = experiment(make_cycle(model={"dtype": "float32"}))
    assert found.spec["model"]["trust_remote_code"] is False
    assert found.spec["model"]["dtype"] == "float32"
    assert found.spec["workload"]["output_tokens"] == 128
    assert found.spec["effort"]["warmup"] == "cv:0.05,window=5,min=5,max=50"
    assert found.provenance == {"backend": "cli"}


@pytest.mark.parametrize(
    ("drafts", "nulls", "reason"),
    [
        (None, {}, "not_reported_by_engine"),
        (None, {"windows.speculation": "no_drafts"}, "no_drafts"),
        ([4, 0, 0], {}, "divisor_is_zero"),
        ([4, None, 0], {}, "not_reported_by_engine"),
    ],
)
def test_why_there_is_no_rate_of_acceptance(
    make_cycle, make_window, experiment, drafts, nulls, reason
):
    """Nothing drafts, nobody counts, or nothing was drafted."""
    names = ("verify_calls", "drafted_tokens", "accepted_tokens")
    told = None if drafts is None else dict(zip(names, drafts, strict=True))
    window = make_window(speculation=told)
    found = experiment(make_cycle(windows=[window], nulls=nulls))
    assert found.extended["speculation"]["acceptance_rate"] is None
    assert found.nulls["extended.speculation.acceptance_rate"] == reason


def test_drafts_are_counted_over_energy_windows(make_cycle, make_window, experiment):
    """Of all cycles; a latency window is other work."""

    def window(kind, drafted, accepted):
        told = {"drafted_tokens": drafted, "accepted_tokens": accepted}
        return make_window(kind=kind, speculation={"verify_calls": 10, **told})

    windows = [window("energy", 10, 4), window("latency", 10, 10)]
    found = experiment(
        make_cycle(0, windows=windows),
        make_cycle(1, windows=[window("energy", 30, 20)]),
    )
    assert found.extended["speculation"]["acceptance_rate"] == 0.6
    assert found.extended["speculation"]["verify_calls"] == 20
