"""Energy of prefill, decode and request, cut from token stamps."""

import gzip
import json
from pathlib import Path

import pytest

from pytest_lem.analysis.split import Piece, Split
from pytest_lem.engines import Completion, Generation
from pytest_lem.engines.registry import EngineEntry
from pytest_lem.measure.phases import cut_of, measured, phases, read
from pytest_lem.meters.fake import FakeMeter
from pytest_lem.meters.metering import Metering
from pytest_lem.meters.replay import ReplayMeter

TRACE = Path(__file__).parents[1] / "data" / "h100_llm_trace.json.gz"
RECORDED = json.loads(gzip.decompress(TRACE.read_bytes()))
MARKS = RECORDED["marks"]
STREAMED = [mark for mark in MARKS if mark["name"] == "stream_b1"]


def found_in(run, metering, **how):
    """What phases of a pass are told, and its flags."""
    left_out = how.get("left_out", 0)
    cut = cut_of(run, metering, ["cpu"], left_out=left_out)
    return phases(cut, run, period_s=metering.period_s, **how)


def ns(time_s):
    return round(time_s * 1e9)


def completion(sent_s, ended_s, *token_s, input_tokens=30):
    return Completion(
        input_tokens=input_tokens,
        output_ids=[7] * max(1, len(token_s)),
        finish_reason="length",
        sent_ns=ns(sent_s),
        ended_ns=ns(ended_s),
        token_ns=[ns(one) for one in token_s],
    )


def generation(start_s, end_s, completions):
    return Generation(
        start_ns=ns(start_s),
        end_ns=ns(end_s),
        completions=completions,
        batches=[],
        padding_tokens=0,
        memory={},
        native={},
    )


@pytest.fixture
def curve(cranked):
    """10 s at 100 W, 1 s at 600 W, 4 s at 200 W, the same again, then 5 s at 100 W."""
    for power_w, seconds in [
        (100.0, 10.0),
        *((600.0, 1.0), (200.0, 4.0)) * 2,
        (100.0, 5.0),
    ]:
        cranked.power_w = power_w
        cranked.wait(seconds)
    assert cranked.metering.settle(125.0)
    return cranked.metering


FIRST = completion(110.0, 115.0, 111.0, 112.0, 113.0, 114.0, 115.0)
SECOND = completion(115.0, 120.0, 116.0, 118.0, 120.0)


@pytest.fixture(scope="module")
def recorded():
    """The recorded H100, all of it at once, on the clock of its marks."""
    clock = {"now_s": RECORDED["counter"][1][0]}
    with Metering([ReplayMeter(TRACE, lambda: clock["now_s"])]) as metering:
        clock["now_s"] = RECORDED["counter"][-1][1]
        assert metering.settle(150.0)
        yield metering


def test_two_requests_on_a_known_curve(curve):
    """600 J and 800 J each; the first token is prefill's, so 4 and 2 are decoded."""
    run = generation(109.0, 121.0, [FIRST, SECOND])
    found, flags = found_in(run, curve)
    assert found["prefill"] == {
        "duration_s": pytest.approx(2.0),
        "input_tokens": 60,
        "energy_j": pytest.approx(1200.0),
        "uncertainty_j": pytest.approx(0.0, abs=1e-6),
        "power_w": pytest.approx(600.0),
        "input_tps": pytest.approx(30.0),
        "energy_per_input_token_j": pytest.approx(20.0),
    }
    assert found["decode"] == {
        "duration_s": pytest.approx(8.0),
        "output_tokens": 6,
        "energy_j": pytest.approx(1600.0),
        "uncertainty_j": pytest.approx(0.0, abs=1e-6),
        "power_w": pytest.approx(200.0),
        "output_tps": pytest.approx(0.75),
        "energy_per_output_token_j": pytest.approx(1600 / 6),
    }
    assert found["other"] == {
        "duration_s": pytest.approx(2.0),
        "energy_j": pytest.approx(200.0),
    }
    assert found["request_energy_j"]["n"] == 2
    assert found["request_energy_j"]["mean"] == pytest.approx(1400.0)
    assert (found["closure"], found["nulls"]) == (None, {"closure": "no_ring"})
    assert flags == []
    gross_j = curve.energy(109.0, 121.0).gross_j
    parts = [found[name]["energy_j"] for name in ("prefill", "decode", "other")]
    assert sum(parts) == pytest.approx(gross_j, rel=1e-12)


def test_requests_of_one_batch_share_their_span(curve):
    """Seconds and joules are there once, tokens for each; no request has its own."""
    found, _ = found_in(generation(110.0, 115.0, [FIRST] * 3), curve)
    assert found["prefill"]["energy_j"] == pytest.approx(600.0)
    assert found["decode"]["duration_s"] == pytest.approx(4.0)
    assert (found["prefill"]["input_tokens"], found["decode"]["output_tokens"]) == (
        90,
        12,
    )
    assert found["request_energy_j"] is None
    assert found["nulls"]["request_energy_j"] == "requests_share_a_batch"


def test_requests_left_out_are_no_part_of_a_phase(curve):
    """They warm up: their time and energy are other, and the sum is still the gross."""
    run = generation(110.0, 120.0, [FIRST, SECOND])
    found, _ = found_in(run, curve, left_out=1)
    assert found["prefill"]["energy_j"] == pytest.approx(600.0)
    assert found["prefill"]["input_tokens"] == 30
    assert (found["decode"]["duration_s"], found["decode"]["output_tokens"]) == (4.0, 2)
    assert found["other"] == {"duration_s": 5.0, "energy_j": pytest.approx(1400.0)}
    assert found["request_energy_j"]["n"] == 1


def test_a_request_of_one_token_decodes_none(curve):
    """No tokens, no energy per token; what came after the token is still told."""
    one = completion(110.0, 112.0, 111.0)
    found, _ = found_in(generation(110.0, 112.0, [one]), curve)
    assert found["decode"]["output_tokens"] == 0
    assert found["decode"]["energy_j"] == pytest.approx(200.0)
    assert found["decode"]["energy_per_output_token_j"] is None
    reason = found["nulls"]["decode.energy_per_output_token_j"]
    assert reason == "divisor_is_zero"


def test_without_energy_there_are_still_times_and_rates():
    """Each null has its reason; nothing is zero that is not known."""
    found, flags = found_in(
        generation(110.0, 115.0, [FIRST]), Metering([], absent="no_meter")
    )
    assert found["prefill"]["input_tps"] == pytest.approx(30.0)
    assert found["decode"]["output_tps"] == pytest.approx(1.0)
    assert found["other"] == {"duration_s": 0.0, "energy_j": None}
    empty = {
        f"{name}.{key}"
        for name in ("prefill", "decode", "other")
        for key, value in found[name].items()
        if value is None
    }
    assert {"prefill.power_w", "decode.uncertainty_j", "other.energy_j"} <= empty
    assert found["nulls"] == dict.fromkeys(
        {*empty, "closure", "request_energy_j"}, "no_meter"
    )
    assert flags == []


@pytest.mark.parametrize("unstamped", ["no_token_stamps", "engine_has_no_token_times"])
def test_without_stamps_there_are_no_phases(curve, unstamped):
    """Only the reason, which the pass knows."""
    run = generation(110.0, 115.0, [completion(110.0, 115.0)])
    found = found_in(run, curve, unstamped=unstamped)
    assert found == ({"available": False, "reason": unstamped}, [])


def test_phases_within_a_step_of_the_counter_are_flagged(cranked):
    """A staircase alone cannot say what was spent where inside a step."""
    cranked.wait(10.0)
    assert cranked.metering.settle(110.0)
    short = completion(105.0, 106.0, 105.05, 106.0)
    _, flags = found_in(generation(105.0, 106.0, [short]), cranked.metering)
    assert flags == ["phases_unresolved"]


def test_recorded_requests_close_with_the_counter(recorded):
    """An H100's eight streamed requests: the power samples alone agree within 2 %."""
    requests = [
        completion(m["start"], m["end"], *m["token_times"], input_tokens=2048)
        for m in STREAMED
    ]
    run = generation(STREAMED[0]["start"], STREAMED[-1]["end"], requests)
    found, _ = found_in(run, recorded)
    assert abs(found["closure"]["error_pct"]) < 2.0
    assert found["closure"]["counter_j"] == pytest.approx(
        sum(found[name]["energy_j"] for name in ("prefill", "decode", "other"))
    )
    assert found["decode"]["output_tokens"] == 8 * 47
    assert found["request_energy_j"]["n"] == 8
    assert found["prefill"]["power_w"] > 1.7 * found["decode"]["power_w"]
    assert found["prefill"]["uncertainty_j"] > 0.2 * found["prefill"]["energy_j"]


def test_recorded_prefill_draws_several_times_the_power_of_decode(recorded):
    """Marks of batched prefill and decode work, as the phases of one long window."""
    names = {"decode_b8": "decode", "decode_b64": "decode"}
    names |= {"prefill_b16x2048": "prefill"}
    marks = [mark for mark in MARKS if mark["name"] in names]
    pieces, at_ns = [], ns(marks[0]["start"])
    for span, mark in enumerate(marks):
        start_ns, end_ns = ns(mark["start"]), ns(mark["end"])
        if start_ns > at_ns:
            pieces.append(Piece("other", at_ns, start_ns))
        pieces.append(Piece(names[mark["name"]], max(start_ns, at_ns), end_ns, span))
        at_ns = end_ns
    tokens = {
        f"{side}_tokens": sum(
            mark["batch"] * mark[f"{side}_tokens"]
            for mark in marks
            if names[mark["name"]] == phase
        )
        for side, phase in (("input", "prefill"), ("output", "decode"))
    }
    cut = read(Split(pieces=pieces, members=[[0]] * len(marks)), recorded, ["cpu"])
    found = measured(cut, **tokens)
    assert abs(found["closure"]["error_pct"]) < 2.0
    assert found["prefill"]["power_w"] > 3 * found["decode"]["power_w"]
    assert found["decode"]["energy_per_output_token_j"] > (
        10 * found["prefill"]["energy_per_input_token_j"]
    )
    whole_j = recorded.energy(pieces[0].start_s, pieces[-1].end_s).gross_j
    parts = [found[name]["energy_j"] for name in ("prefill", "decode", "other")]
    assert sum(parts) == pytest.approx(whole_j, rel=1e-12)


SCRIPT = {"prefill_s": 0.3, "token_s": 0.1}


def able(name="fake", streaming="tokens"):
    from pytest_lem.engines import Capabilities

    return EngineEntry(
        name=name,
        target="pytest_lem.engines.fake:FakeEngine",
        capabilities=Capabilities(streaming=streaming),
    )


def test_energy_windows_are_stamped_where_phases_are_wanted(
    make_lab, experiment, measure
):
    """At the experiment's own batch size; the windows say that they were stamped."""
    lab = make_lab(FakeMeter(100.0), engine=able(), phases=True)
    one = experiment(script=SCRIPT, batch_size=2, requests=2, output_tokens=5)
    cycle = measure(lab, one)
    for window in cycle.windows:
        assert "token_stamped" in window.flags
        assert window.phases["prefill"]["energy_j"] == pytest.approx(30.0)
        assert window.phases["decode"]["output_tokens"] == 8
    assert cycle.metrics["energy_prefill_per_input_token_j"] == pytest.approx(30 / 16)
    assert cycle.metrics["energy_decode_per_output_token_j"] == pytest.approx(5.0)
    assert cycle.metrics["decode_throughput_tps"] == pytest.approx(20.0)
    assert cycle.metrics["prefill_power_w"] == pytest.approx(100.0)
    assert cycle.metrics["edp_js"] == pytest.approx(35.0 * 0.7)
    assert cycle.metrics["ed2p_js2"] == pytest.approx(35.0 * 0.7**2)


@pytest.mark.parametrize(
    ("streaming", "phases_wanted", "reason"),
    [
        ("tokens", False, "no_token_stamps"),
        ("none", False, "engine_has_no_token_times"),
        ("none", True, "engine_has_no_token_times"),
    ],
)
def test_unstamped_windows_say_why(
    make_lab, experiment, measure, streaming, phases_wanted, reason
):
    """So do the metrics of the cycle."""
    engine = able(streaming=streaming)
    lab = make_lab(FakeMeter(100.0), engine=engine, phases=phases_wanted)
    cycle = measure(lab, experiment())
    assert [w.phases for w in cycle.windows] == [
        {"available": False, "reason": reason}
    ] * 3
    assert "token_stamped" not in cycle.windows[0].flags
    assert cycle.metrics["prefill_power_w"] is None
    assert cycle.nulls["prefill_power_w"] == reason


def test_a_latency_window_tells_phases_where_energy_windows_do_not(
    make_lab, experiment, measure
):
    """One request at a time, stamped anyway."""
    lab = make_lab(FakeMeter(100.0), engine=able())
    one = experiment(
        script={"prefill_s": 0.02, "token_s": 0.005},
        streaming=True,
        streaming_warmup_requests=1,
    )
    cycle = measure(lab, one)
    latency = cycle.windows[-1]
    assert latency.phases["request_energy_j"]["n"] == latency.requests - 1
    assert "token_stamped" not in latency.flags
    assert cycle.metrics["decode_throughput_tps"] == pytest.approx(200.0)
    assert cycle.metrics["energy_prefill_per_input_token_j"] == pytest.approx(2 / 8)
