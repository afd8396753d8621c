"""A recorded H100 and what an engine did on it: idle power, and a whole record."""

import csv
import gzip
import json
from itertools import groupby
from pathlib import Path

import jsonschema
import pytest

from benchmarks.perf.blank import record
from pytest_lem.engines import Completion, Generation
from pytest_lem.measure import idle
from pytest_lem.measure.idle import IdlePolicy, read_idle
from pytest_lem.measure.idle_states import CycleIdle
from pytest_lem.measure.notebook import Notebook, now
from pytest_lem.measure.recording import cycle_record
from pytest_lem.measure.window import Pass
from pytest_lem.meters.replay import ReplayMeter
from pytest_lem.records.assemble import experiment_record
from pytest_lem.records.export import read_json, write_csv, write_json
from pytest_lem.records.schema import schema

TRACE = Path(__file__).parents[1] / "data" / "h100_llm_trace.json.gz"
RECORDED = json.loads(gzip.decompress(TRACE.read_bytes()))
MARKS = {
    name: list(some)
    for name, some in groupby(RECORDED["marks"], key=lambda one: one["name"])
}


STATES_W = {"no_context": (71, 79), "context": (112, 127), "model_loaded": (118, 133)}


class Clock:
    """Time of the trace, which passes when it is waited for; its meter is ahead."""

    def __init__(self):
        self.now_s = RECORDED["counter"][1][1]
        self.ahead_s = 0.0

    def monotonic(self):
        return self.now_s

    def played(self):
        return self.now_s + self.ahead_s

    def wait(self, seconds):
        self.now_s += seconds


def readings_of(metering, clock):
    """Idle power in each state, read from half a second into its mark to its end."""
    clock.ahead_s = 1.0
    found = {}
    for state in STATES_W:
        (mark,) = MARKS[f"idle_{state}"]
        clock.wait(mark["start"] + 0.5 - clock.now_s)
        policy = IdlePolicy(seconds=mark["end"] - clock.now_s)
        found[state] = read_idle(metering, policy, [], state=state, wait=clock.wait)
    return found


@pytest.fixture
def replayed(make_lab, experiment, monkeypatch):
    """A laboratory with the recorded GPU, an experiment's notes, and idle power."""
    clock = Clock()
    monkeypatch.setattr(idle, "time", clock)
    lab = make_lab(ReplayMeter(TRACE, clock.played))
    one = experiment(streaming=True, streaming_warmup_requests=0)
    with lab.metering:
        # A load forgets what was before it, so it comes first.
        notes = Notebook(
            experiment=one, index=0, started_at=now(), bench=lab.bench(one, 0)
        )
        readings = readings_of(lab.metering, clock)
        clock.now_s = RECORDED["counter"][-1][1]
        assert lab.metering.settle(150.0)
        notes.idle = CycleIdle(kind="model_loaded", states=readings)
        yield lab, notes


def run_of(kind, index, mark):
    """A pass over a batch, as it was recorded; where tokens were timed, with them."""
    start_ns, end_ns = (round(mark[name] * 1e9) for name in ("start", "end"))
    one = Completion(
        input_tokens=mark["input_tokens"],
        output_ids=[7] * mark["output_tokens"],
        finish_reason="length",
        sent_ns=start_ns,
        ended_ns=end_ns,
        token_ns=[round(time_s * 1e9) for time_s in mark.get("token_times", ())],
    )
    generation = Generation(
        start_ns=start_ns,
        end_ns=end_ns,
        completions=[one] * mark["batch"],
        batches=[mark["batch"]],
        padding_tokens=0,
        memory={"inference_peak_mb": None},
        native={},
    )
    return Pass(kind=kind, index=index, token_sha256="f00", generation=generation)


def test_each_state_of_a_real_gpu_draws_what_was_recorded(replayed):
    """Half a second into each mark; slices agree, and the ring shapes both ends."""
    for state, (low_w, high_w) in STATES_W.items():
        found = replayed[1].idle.states[state].record
        assert low_w < found.power_w < high_w
        assert found.state == state
        assert found.std_w < 3.0
        assert found.method == "counter_ring"
        assert found.uncertainty_w < 2.0
        assert found.flags == ["replayed_energy"]


def test_a_whole_record_is_built_of_what_was_recorded(replayed, tmp_path):
    """Batches of 8 and single streams of a real engine, to JSON and CSV by its schema.

    The counter drew 2472 J in the batches' 14.8 s, at 121 W when idle.
    """
    lab, notes = replayed
    batches, streams = MARKS["decode_b8"][2:], MARKS["stream_b1"][1:]
    notes.passes += [run_of("energy", k, mark) for k, mark in enumerate(batches)]
    notes.passes += [run_of("latency", k, m) for k, m in enumerate(streams, 12)]
    cycle = cycle_record(lab, notes, "complete")
    whole = record([experiment_record(notes.experiment, "f00", [cycle])])
    write_json(whole, tmp_path / "r.json")
    write_csv(whole, tmp_path / "r.csv")
    jsonschema.validate(json.loads((tmp_path / "r.json").read_text()), schema())
    assert read_json(tmp_path / "r.json") == whole

    found = {name: each.value for name, each in whole.experiments[0].summary.items()}
    assert found["energy_gross_j"] == pytest.approx(2472, rel=0.01)
    assert found["energy_per_output_token_j"] == pytest.approx(0.201, rel=0.01)
    net_j = found["energy_gross_j"] - 121.4 * found["duration_s"]
    assert found["energy_net_j"] == pytest.approx(net_j, rel=0.02)
    assert found["output_throughput_tps"] == pytest.approx(12 * 8 * 128 / 14.833, 1e-3)
    assert found["ttft_p50_ms"] == pytest.approx(14.6, abs=0.5)
    assert found["itl_p50_ms"] == pytest.approx(9.6, abs=0.1)
    assert found["decode_power_w"] < found["prefill_power_w"] < 720
    assert "replayed_energy" in whole.experiments[0].flags
    with (tmp_path / "r.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["energy_gross_j"]) == found["energy_gross_j"]
