"""Windows with failed requests: what is counted, what is null, what is too much."""

import pytest

from pytest_lem.errors import GenerationError
from pytest_lem.measure.cycle import run_cycle
from pytest_lem.meters.fake import FakeMeter

SCRIPT = {"prefill_s": 0.02, "token_s": 0.001}


def faults(*places, kind, of=10):
    return [kind if place in places else "none" for place in range(of)]


def test_failed_requests_are_counted_and_kept_out_of_latency(
    make_lab, experiment, measure
):
    """One stops early and one stalls: energy is over tokens made, rates over done."""
    lab = make_lab(FakeMeter(50.0), max_failed_pct=50)
    script = {**SCRIPT, "faults": ["none", "stop", "stall", *["none"] * 7]}
    cycle = measure(
        lab,
        experiment(
            script=script, requests=10, request_timeout_s=0.05, effort={"windows": 1}
        ),
    )
    (window,) = cycle.windows
    found = window.outcomes
    assert {key: found[key] for key in ("sent", "completed", "early_stop")} == {
        "sent": 10,
        "completed": 8,
        "early_stop": 1,
    }
    assert (found["timeout"], found["without_tokens"]) == (1, 0)
    assert found["errors"] == [
        "it ended after 2 of at least 4 tokens (stop)",
        "ended at request_timeout_s=0.05",
    ]
    assert window.tokens.output == 8 * 4 + 2 + 2
    assert window.latency["e2e_ms"]["n"] == 8
    assert window.latency["e2e_ms"]["max"] == pytest.approx(23)
    metrics, energy_j = cycle.metrics, window.energy.gross_j
    assert metrics["energy_per_output_token_j"] == pytest.approx(energy_j / 36)
    assert metrics["energy_per_request_j"] == pytest.approx(energy_j / 8)
    assert metrics["request_throughput_rps"] == pytest.approx(8 / window.duration_s)
    assert metrics["input_throughput_tps"] == pytest.approx(80 / window.duration_s)
    assert "failed_requests" in window.flags


def test_nobody_knows_what_became_of_prompts_without_tokens(
    make_lab, experiment, measure
):
    """What needs all prompts is null and says so; what does not is there."""
    lab = make_lab(FakeMeter(50.0), max_failed_pct=50)
    script = {"prefill_s": 0.02, "jitter_s": [0, 0.1], "token_s": 0.0}
    cycle = measure(
        lab,
        experiment(
            script=script, requests=2, request_timeout_s=0.05, effort={"windows": 1}
        ),
    )
    assert cycle.windows[0].outcomes["without_tokens"] == 1
    assert cycle.metrics["energy_per_output_token_j"] > 0
    for name in (
        "energy_per_total_token_j",
        "input_throughput_tps",
        "total_throughput_tps",
    ):
        assert cycle.metrics[name] is None
        assert cycle.nulls[name] == "failed_without_tokens"
    assert cycle.windows[0].throughput["input_tps"] is None


def test_a_token_that_is_too_late_fails_its_request_alone(
    make_lab, experiment, measure
):
    """In the timed window, with the tokens that came before it; none of it is good."""
    lab = make_lab(FakeMeter(50.0), max_failed_pct=10)
    cycle = measure(
        lab,
        experiment(
            script={**SCRIPT, "faults": faults(12, kind="stall", of=13)},
            streaming=True,
            requests=12,
            token_timeout_s=0.05,
            slo={"e2e_ms": 1000},
            effort={"windows": 1},
        ),
    )
    energy, timed = cycle.windows
    assert energy.outcomes["completed"] == energy.outcomes["sent"] == 12
    assert (timed.outcomes["sent"], timed.outcomes["token_timeout"]) == (17, 1)
    assert timed.latency["left_out"] == 5
    assert timed.latency["requests"] == timed.latency["ttft_ms"]["n"] == 11
    assert (timed.goodput["requests"], timed.goodput["good"]) == (12, 11)
    assert timed.latency["itl_ms"]["max"] == pytest.approx(1)


@pytest.mark.parametrize("kind", ["error", "cancel", "stop"])
def test_too_many_failures_fail_the_cycle_which_keeps_the_counts(
    make_lab, experiment, kind
):
    """The line says how many, which and why; the record has the window."""
    lab = make_lab()
    kept = []
    script = {**SCRIPT, "faults": faults(1, kind=kind, of=2)}
    names = {"error": "engine_error", "cancel": "cancelled", "stop": "early_stop"}
    told = (
        rf"energy window 0: 1 of 2 requests failed \(1 {names[kind]}\): .* allows 5 %"
    )
    with pytest.raises(GenerationError, match=told):
        run_cycle(lab, experiment(script=script, requests=2), 0, kept.append)
    (cycle,) = kept
    assert cycle.status == "failed"
    assert cycle.windows[0].outcomes[names[kind]] == 1
    assert cycle.windows[0].tokens.output == 6


@pytest.mark.parametrize(
    ("load", "sent"), [({"batch_size": 2}, 4), ({"batch_size": 1, "concurrency": 3}, 5)]
)
def test_what_requests_did_until_the_engine_broke_is_kept(
    make_lab, experiment, measure, load, sent
):
    """Whole ones and those it broke in; the next experiment has a new engine."""
    lab = make_lab(FakeMeter(50.0))
    kept = []
    script = {**SCRIPT, "faults": faults(2, kind="break", of=3)}
    one = experiment(script=script, requests=6, **load)
    with pytest.raises(GenerationError, match="the script breaks the engine"):
        run_cycle(lab, one, 0, kept.append)
    (cycle,) = kept
    assert (cycle.status, cycle.error.kind) == ("failed", "generation")
    (window,) = cycle.windows
    found = window.outcomes
    assert (found["sent"], found["completed"] + found["engine_error"]) == (sent, sent)
    assert found["completed"] == 2
    assert found["errors"] == ["the script breaks the engine"]
    assert window.latency["e2e_ms"]["n"] == found["completed"]
    assert measure(lab, experiment()).status == "complete"


def test_too_many_failures_in_a_warm_up_fail_the_cycle(make_lab, experiment):
    """It says so of the warm-up, before anything is measured."""
    one = experiment(
        script={**SCRIPT, "faults": ["error"]}, effort={"warmup": "fixed:1"}
    )
    with pytest.raises(GenerationError, match=r"warm-up 1: 1 of 1 requests failed"):
        run_cycle(make_lab(), one, 0, lambda cycle: None)
