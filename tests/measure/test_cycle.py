"""One cycle with a real worker: what runs in which order, and what is kept."""

import json
import os
import re
from collections import Counter

import pytest

from pytest_lem.errors import (
    EngineLoadError,
    GenerationError,
    IdleError,
    Timeout,
    WorkerDied,
)
from pytest_lem.measure.cycle import run_cycle
from pytest_lem.meters.fake import FakeMeter
from pytest_lem.meters.metering import Metering

SCRIPT_S = [t / 1000 for t in (100, 60, 40, 35, 34, 34, 34, 34, 34)]

CALL_LOG = """
import json, os
class Odd(FakeEngine):
    def _note(self, **what):
        with open(os.environ["LEM_TEST_CALLS"], "a") as file:
            file.write(json.dumps(what) + chr(10))
    def load(self, spec):
        self._note(call="load")
        return super().load(spec)
    def prepare(self, prompts, options):
        lengths = [len(p) for p in prompts]
        self._note(call="prepare", options=options.to_json(), lengths=lengths)
        return super().prepare(prompts, options)
    def synchronize(self):
        self._note(call="synchronize")
    def run(self, batch, options):
        self._note(call="run")
        return super().run(batch, options)
    def collect(self, *args):
        self._note(call="collect")
        return super().collect(*args)
"""


@pytest.fixture
def calls(odd_engine, tmp_path, monkeypatch):
    """An engine that writes down its calls, and what it wrote."""
    path = tmp_path / "calls.jsonl"
    monkeypatch.setenv("LEM_TEST_CALLS", str(path))
    entry = odd_engine(CALL_LOG)

    def read():
        return [json.loads(line) for line in path.read_text().splitlines()]

    read.entry = entry
    return read


def kept(lab, experiment, error, index=0):
    """The cycle that was kept although it failed with that error."""
    found = []
    with pytest.raises(error) as caught:
        run_cycle(lab, experiment, index, found.append)
    (cycle,) = found
    return cycle, caught.value


def test_a_cycle_is_warm_up_idle_windows_and_latency(make_lab, experiment, measure):
    """In this order; the live line is cleared at the end."""
    lab = make_lab(FakeMeter(50.0), idle="auto", idle_s=0.2)
    one = experiment(effort={"warmup": "fixed:2"}, streaming=True)
    cycle = measure(lab, one)
    assert cycle.status == "complete"
    assert lab.progress.phases == [
        "idle no_context",
        "start fake",
        "idle context",
        "load synthetic:llama-tiny",
        "warm-up 1",
        "warm-up 2",
        "idle",
        "window 1",
        "window 2",
        "window 3",
        "latency window, 15 requests",
        "idle",
        "settle",
        "clear",
    ]
    assert [window.kind for window in cycle.windows] == ["energy"] * 3 + ["latency"]
    starts = [window.start_s for window in cycle.windows]
    assert starts == sorted(starts)


def test_the_numbers_of_a_cycle_close(make_lab, experiment, measure):
    """Constant 50 W: joules are watts times the script's seconds, everywhere."""
    lab = make_lab(FakeMeter(50.0), carbon_intensity_g_per_kwh=400.0, pue=1.5)
    one = experiment(script={"prefill_s": 0.2}, batch_size=2, requests=4)
    cycle = measure(lab, one)
    metrics = cycle.metrics
    assert metrics["duration_s"] == pytest.approx(3 * 2 * 0.2)
    assert metrics["energy_gross_j"] == pytest.approx(60.0, rel=1e-5)
    assert metrics["avg_power_w"] == pytest.approx(50.0, rel=1e-5)
    assert metrics["output_throughput_tps"] == pytest.approx(48 / 1.2)
    assert metrics["energy_per_output_token_j"] == pytest.approx(60 / 48, rel=1e-5)
    assert metrics["energy_per_request_j"] == pytest.approx(5.0, rel=1e-5)
    assert metrics["e2e_mean_ms"] == pytest.approx(200.0)
    assert metrics["emissions_g_co2e"] == pytest.approx(60 / 3.6e6 * 600, rel=1e-5)
    assert cycle.windows[0].tokens.model_dump() == {
        "input": 32,
        "output": 16,
        "padding": 0,
    }
    assert cycle.windows[0].batches == [2, 2]


def test_every_metric_is_known_or_null_with_a_reason(make_lab, experiment, measure):
    """Never absent, never zero for unknown."""
    cycle = measure(make_lab(), experiment())
    unknown = {name for name, value in cycle.metrics.items() if value is None}
    assert unknown <= cycle.nulls.keys()
    assert cycle.nulls["energy_gross_j"] == "no_meter"
    assert cycle.nulls["ttft_p50_ms"] == "not_streaming"
    assert cycle.nulls["idle_power_w"] == "idle_off"
    assert cycle.nulls["warmup_duration_s"] == "no_warmup"
    assert cycle.nulls["emissions_g_co2e"] == "no_meter"
    assert cycle.metrics["output_throughput_tps"] > 0


def test_idle_power_is_removed_in_net_only(make_lab, experiment, measure):
    """A meter that draws the same idle and busy leaves nothing net."""
    cycle = measure(
        make_lab(FakeMeter(50.0), idle="required", idle_s=0.3),
        experiment(script={"prefill_s": 0.4}),
    )
    assert cycle.idle.power_w == pytest.approx(50.0)
    assert cycle.idle.age_s < 5.0
    assert cycle.idle.samples == 10
    assert cycle.metrics["energy_gross_j"] == pytest.approx(60.0, rel=1e-5)
    assert cycle.metrics["energy_net_j"] == pytest.approx(0.0, abs=1e-3)
    assert cycle.metrics["idle_power_w"] == cycle.idle.power_w


def test_idle_is_read_once_for_each_load(make_lab, experiment, measure):
    """Neighbours share the reading, at its age; another pass has its own."""
    lab = make_lab(FakeMeter(50.0), idle="auto", idle_s=0.2)
    first = measure(lab, experiment())
    second = measure(lab, experiment(output_tokens=5))
    third = measure(lab, experiment(), index=1)
    assert Counter(lab.progress.phases)["idle"] == 2 + 3
    assert second.worker["pid"] == first.worker["pid"] != third.worker["pid"]
    assert second.idle.age_s > first.idle.age_s
    own, shared = (one.idle.states["model_loaded"] for one in (first, second))
    assert shared.age_s > own.age_s + 0.2
    assert shared.power_w == own.power_w


def test_required_idle_without_a_meter_fails_the_cycle(make_lab, experiment):
    """By its own kind of error, before any window."""
    cycle, _ = kept(make_lab(idle="required"), experiment(), IdleError)
    assert (cycle.status, cycle.error.kind) == ("failed", "idle")
    assert cycle.windows == []


class Told(Metering):
    """Remembers which spans it was asked for, and when."""

    def energy(self, start_s, end_s, **kwargs):
        self.asked.append((start_s, end_s))
        self.log.append("energy")
        return super().energy(start_s, end_s, **kwargs)

    asked: list
    log: list


def test_energy_is_cut_after_the_last_window(make_lab, experiment, measure):
    """No meter is asked between the marks of any window."""
    lab = make_lab(FakeMeter(50.0))
    lab.metering = Told([FakeMeter(50.0)])
    lab.metering.asked, lab.metering.log = [], lab.progress.phases
    cycle = measure(lab, experiment(effort={"warmup": "fixed:1"}))
    phases = lab.progress.phases
    assert "energy" not in phases[: phases.index("settle")]
    spans = [(w.start_s, w.start_s + w.duration_s) for w in cycle.windows]
    for start_s, end_s in spans:
        assert any(
            a == pytest.approx(start_s) and b == pytest.approx(end_s)
            for a, b in lab.metering.asked
        )


def test_the_engine_is_synchronised_on_both_sides_of_a_pass(
    calls, make_lab, experiment, measure
):
    """Prepared before the window, collected after it."""
    measure(make_lab(engine=calls.entry), experiment(requests=2))
    names = [call["call"] for call in calls()]
    one_pass = ["prepare", "synchronize", "run", "run", "synchronize", "collect"]
    assert names == ["load", *one_pass * 3]


def test_the_warm_up_does_what_is_measured(calls, make_lab, experiment, measure):
    """Same batch size, lengths, requests, decoder and seed; then one is streamed."""
    one = experiment(
        effort={"warmup": "fixed:2"},
        batch_size=2,
        requests=3,
        min_output_tokens=1,
        decoder={"do_sample": False},
        seed=7,
        streaming=True,
        streaming_warmup_requests=1,
    )
    measure(make_lab(engine=calls.entry), one)
    *passes, latency = [call for call in calls() if call["call"] == "prepare"]
    streamed = passes.pop(2)
    assert len(passes) == 5
    assert all(one == passes[0] for one in passes)
    assert passes[0]["lengths"] == [8, 8, 8]
    assert passes[0]["options"] == {
        "output_tokens": 4,
        "min_output_tokens": 1,
        "batch_size": 2,
        "decoder": {"do_sample": False},
        "seed": 7,
        "stamps": False,
        "due_ns": [],
        "output_limits": [],
        "concurrency": None,
        "request_timeout_s": None,
        "token_timeout_s": 30.0,
    }
    assert (streamed["lengths"], latency["lengths"]) == ([8], [8] * 11)
    assert streamed["options"] == latency["options"]
    assert latency["options"] == {
        **passes[0]["options"],
        "batch_size": 1,
        "stamps": True,
    }


def test_the_golden_script_converges_in_a_real_worker(make_lab, experiment, measure):
    """Eight iterations, and the variation of the last five."""
    script = {"latency_script_s": SCRIPT_S, "prefill_s": 0.034}
    one = experiment(script=script, effort={"warmup": "cv:0.05,window=5,min=5,max=50"})
    cycle = measure(make_lab(FakeMeter(200.0)), one)
    assert (cycle.warmup.converged, cycle.warmup.iterations) == (True, 8)
    assert cycle.warmup.cv == pytest.approx(0.012, abs=0.0005)
    assert cycle.warmup.policy == "cv:0.05,window=5,min=5,max=50"
    assert "warmup_not_converged" not in cycle.flags
    assert cycle.warmup.duration_s >= sum(SCRIPT_S[:8])
    assert cycle.warmup.durations_s == pytest.approx(SCRIPT_S[:8])
    spent_j = 200.0 * cycle.warmup.duration_s
    assert cycle.warmup.energy_j == pytest.approx(spent_j, rel=1e-5)
    assert cycle.metrics["duration_s"] == pytest.approx(3 * 0.034)


UNSTEADY = {"prefill_s": 0.005, "jitter_s": [0.0, 0.02]}
STRICT = {"warmup": "cv:0.01,window=2,min=2,max=4"}


def test_a_warm_up_that_does_not_converge_is_told(make_lab, experiment, measure):
    """With the last variation; the windows are measured all the same."""
    cycle = measure(make_lab(), experiment(script=UNSTEADY, effort=STRICT))
    assert (cycle.warmup.converged, cycle.warmup.iterations) == (False, 4)
    assert cycle.warmup.cv == pytest.approx(10 / 15)
    assert "warmup_not_converged" in cycle.flags
    assert len(cycle.windows) == 3


def test_a_warm_up_that_does_not_converge_may_fail_the_cycle(make_lab, experiment):
    """Where the setting says so, before any window."""
    lab = make_lab(warmup_unconverged="fail")
    cycle, error = kept(
        lab, experiment(script=UNSTEADY, effort=STRICT), GenerationError
    )
    assert "did not converge" in error.message
    assert (cycle.status, cycle.windows) == ("failed", [])
    assert cycle.warmup.converged is False


def test_no_meter_needs_three_windows(make_lab, experiment, measure):
    """There is no counter to average over."""
    cycle = measure(make_lab(), experiment(effort={"windows": "auto"}))
    assert len(cycle.windows) == 3
    assert cycle.flags == ["fake_engine"]


@pytest.mark.parametrize("windows", [1, 2, 5])
def test_a_number_of_windows_is_exactly_that(make_lab, experiment, measure, windows):
    """Also below the three of `auto`."""
    cycle = measure(make_lab(), experiment(effort={"windows": windows}))
    assert [window.index for window in cycle.windows] == list(range(windows))


class Quick(FakeMeter):
    """A counter with a short period."""

    def __init__(self, period_s, basis="synthetic"):
        super().__init__(50.0)
        self.period_s = period_s
        self.basis = basis

    def poll(self):
        readings, telemetry, _ = super().poll()
        return readings, telemetry, 0.005


@pytest.mark.parametrize(
    ("basis", "prefill_s", "least_s"),
    [("synthetic", 0.3, 2.0), ("synthetic", 0.7, 2.0), ("estimated", 0.3, 1.0)],
)
def test_auto_measures_until_the_counters_steps_do_not_matter(
    make_lab, experiment, measure, basis, prefill_s, least_s
):
    """At least three windows, a second, and twenty periods; two of a model's."""
    lab = make_lab(Quick(0.1, basis))
    one = experiment(script={"prefill_s": prefill_s}, effort={"windows": "auto"})
    cycle = measure(lab, one)
    measured_s = [window.duration_s for window in cycle.windows]
    assert lab.metering.period_s == pytest.approx(0.1, abs=0.01)
    assert len(measured_s) >= 3
    assert sum(measured_s) >= least_s * 0.99
    assert len(measured_s) == 3 or sum(measured_s[:-1]) < least_s * 1.01
    assert {"short_cycle", "max_seconds_reached"}.isdisjoint(cycle.flags)


def test_long_windows_are_still_three(make_lab, experiment, measure):
    """One long window shows no spread."""
    one = experiment(script={"prefill_s": 0.8}, effort={"windows": "auto"})
    assert len(measure(make_lab(Quick(0.1)), one).windows) == 3


def test_time_is_up_after_max_seconds(make_lab, experiment, measure):
    """The window that runs is finished, and the cycle flagged."""
    one = experiment(
        script={"prefill_s": 0.1}, effort={"windows": 50, "max_seconds": 0.25}
    )
    cycle = measure(make_lab(FakeMeter(50.0)), one)
    assert 1 <= len(cycle.windows) <= 3
    assert {"max_seconds_reached", "short_cycle"} <= set(cycle.flags)


def test_there_is_always_one_window(make_lab, experiment, measure):
    """Even where there is no time for it."""
    one = experiment(effort={"windows": "auto", "max_seconds": 0.000001})
    assert len(measure(make_lab(), one).windows) == 1


def test_streaming_adds_one_latency_window(make_lab, experiment, measure):
    """Its first requests are left out once, and energy knows nothing of it."""
    script = {
        "prefill_s": 0.005,
        "token_s": 0.001,
        "latency_script_s": [0.008, 0.1, 0.1],
    }
    one = experiment(
        script=script,
        effort={"windows": 1},
        streaming=True,
        streaming_warmup_requests=2,
    )
    cycle = measure(make_lab(FakeMeter(50.0)), one)
    energy, latency = cycle.windows
    assert (energy.kind, latency.kind) == ("energy", "latency")
    assert (latency.requests, latency.latency["requests"]) == (12, 10)
    assert latency.latency["left_out"] == 2
    assert cycle.metrics["ttft_p99_ms"] == pytest.approx(5.0)
    assert cycle.metrics["ttft_mean_ms"] == pytest.approx(5.0)
    assert cycle.metrics["itl_mean_ms"] == pytest.approx(1.0)
    assert cycle.metrics["tpot_mean_ms"] == pytest.approx(1.0)
    assert cycle.metrics["e2e_p95_ms"] == pytest.approx(8.0)
    assert cycle.metrics["duration_s"] == pytest.approx(0.008)
    assert cycle.metrics["output_throughput_tps"] == pytest.approx(4 / 0.008)
    assert "latency_at_batch_1" not in cycle.flags


def test_latency_of_batched_work_says_that_it_is_one_at_a_time(
    make_lab, experiment, measure
):
    """As many requests as a window has, at least ten."""
    one = experiment(batch_size=4, requests=16, streaming=True)
    cycle = measure(make_lab(), one)
    assert "latency_at_batch_1" in cycle.flags
    assert cycle.windows[-1].batches == [1] * 21


def test_one_token_has_a_first_and_nothing_between(make_lab, experiment, measure):
    """The reason is not that nothing was streamed."""
    cycle = measure(make_lab(), experiment(output_tokens=1, streaming=True))
    assert cycle.metrics["ttft_p50_ms"] is not None
    for name in ("itl_mean_ms", "tpot_mean_ms"):
        assert cycle.metrics[name] is None
        assert cycle.nulls[name] == "too_few_tokens"


def test_no_prompt_is_asked_twice(calls, make_lab, experiment, measure):
    """Warm-up, windows and latency all have their own; another cycle as well."""
    lab, one = make_lab(), experiment(effort={"warmup": "fixed:1"}, streaming=True)
    cycles = [measure(lab, one, index=k) for k in range(2)]
    hashes = [window.token_sha256 for cycle in cycles for window in cycle.windows]
    assert len(set(hashes)) == len(hashes) == 8
    again = measure(lab, one, index=0)
    assert [w.token_sha256 for w in again.windows] == hashes[:4]
    assert again.prompts == cycles[1].prompts
    assert again.prompts["source"] == "synthetic"


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


FAILURES = {
    "generation": ({"fail_at": "generate", "good_passes": 2}, GenerationError, 2),
    "load": ({"fail_at": "load", "fail_kind": "engine_load"}, EngineLoadError, 0),
    "worker_died": ({"die_at": "generate", "good_passes": 1}, WorkerDied, 1),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failed_cycle_is_kept_and_raised_and_its_engine_dropped(
    make_lab, experiment, measure, kind
):
    """What was measured before is in it; the next cycle has another worker."""
    script, error, windows = FAILURES[kind]
    lab = make_lab()
    one = experiment(script={"prefill_s": 0.01, **script}, effort={"windows": 5})
    cycle, raised = kept(lab, one, error)
    expected = "engine_load" if kind == "load" else kind
    assert (cycle.status, cycle.error.kind) == ("failed", expected)
    assert cycle.error.type == error.__name__
    assert cycle.error.message == raised.message
    assert len(cycle.windows) == windows
    assert lab.progress.phases[-1] == "clear"
    if cycle.worker:
        assert gone(cycle.worker["pid"])
    fresh = measure(lab, experiment())
    assert fresh.worker["pid"] != cycle.worker.get("pid")


def test_a_worker_that_hangs_is_ended_by_the_time_limit(make_lab, experiment):
    """The experiment's own, and by its name."""
    one = experiment(script={"hang_at": "generate"}, effort={"timeout": 0.5})
    cycle, _ = kept(make_lab(), one, Timeout)
    assert cycle.error.kind == "timeout"
    assert gone(cycle.worker["pid"])


def test_an_interrupt_keeps_what_was_measured(make_lab, experiment):
    """Ctrl-C in the second window leaves the first in an interrupted cycle."""
    lab = make_lab()

    def interrupt(name):
        if name == "window 2":
            raise KeyboardInterrupt

    lab.progress.act = interrupt
    cycle, _ = kept(lab, experiment(), KeyboardInterrupt)
    assert (cycle.status, cycle.error.kind) == ("interrupted", "interrupted")
    assert len(cycle.windows) == 1
    assert gone(cycle.worker["pid"])


def test_an_error_of_nobodys_kind_brings_its_traceback(make_lab, experiment):
    """A fault of our own can be found."""
    lab = make_lab()

    def fail(name):
        if name == "window 1":
            raise ZeroDivisionError("by whom")

    lab.progress.act = fail
    cycle, _ = kept(lab, experiment(), ZeroDivisionError)
    assert (cycle.status, cycle.error.kind) == ("failed", "error")
    assert (cycle.error.type, cycle.error.message) == ("ZeroDivisionError", "by whom")
    assert "Traceback" in cycle.error.detail


SHORT = """
class Odd(FakeEngine):
    def collect(self, *args):
        found = super().collect(*args)
        WHAT
        return found
"""


def odd(what):
    return SHORT.replace("WHAT", what)


WRONG_WORK = {
    "too many tokens": "found['completions'][1].output_ids.append(1)",
    "a completion less": "found['completions'].pop()",
    "a prompt cut short": (
        "import dataclasses; found['completions'][1] = "
        "dataclasses.replace(found['completions'][1], input_tokens=7)"
    ),
}


@pytest.mark.parametrize("what", WRONG_WORK.values(), ids=WRONG_WORK)
def test_an_engine_that_did_other_work_fails_the_cycle(
    make_lab, odd_engine, experiment, what
):
    """Numbers of other work than was asked for are no numbers."""
    lab = make_lab(engine=odd_engine(odd(what)))
    cycle, error = kept(lab, experiment(batch_size=2), GenerationError)
    assert cycle.error.kind == "generation"
    assert cycle.windows == []
    told = r"1 completions for 2 prompts|request 1: 8 tokens in and 4 to 4 out were"
    assert re.search(told, error.message)


def test_a_request_may_end_early_where_that_is_allowed(
    make_lab, odd_engine, experiment, measure
):
    """No output at all is no energy per token: null, and the reason is the divisor."""
    lab = make_lab(
        FakeMeter(50.0),
        engine=odd_engine(
            odd("[one.output_ids.clear() for one in found['completions']]")
        ),
    )
    cycle = measure(lab, experiment(min_output_tokens=0))
    assert cycle.metrics["energy_per_output_token_j"] is None
    assert cycle.nulls["energy_per_output_token_j"] == "divisor_is_zero"
    assert cycle.metrics["energy_gross_j"] > 0
    assert cycle.metrics["tokens_per_joule"] == 0.0
