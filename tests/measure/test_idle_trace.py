"""Idle power of a recorded H100 in each of its states."""

import gzip
import json
from pathlib import Path

from pytest_lem.measure import idle
from pytest_lem.measure.idle import IdlePolicy, read_idle
from pytest_lem.meters.metering import Metering
from pytest_lem.meters.replay import ReplayMeter

TRACE = Path(__file__).parents[1] / "data" / "h100_llm_trace.json.gz"


STATES_W = {"no_context": (71, 79), "context": (112, 127), "model_loaded": (118, 133)}


class Clock:
    """Time of the trace, which passes when it is waited for; its meter is ahead."""

    def __init__(self, now_s):
        self.now_s = now_s
        self.ahead_s = 0.0

    def monotonic(self):
        return self.now_s

    def played(self):
        return self.now_s + self.ahead_s

    def wait(self, seconds):
        self.now_s += seconds


def test_each_state_of_a_real_gpu_draws_what_was_recorded(monkeypatch):
    """Half a second into each mark; slices agree, and the ring shapes both ends."""
    trace = json.loads(gzip.decompress(TRACE.read_bytes()))
    marks = {one["name"]: one for one in trace["marks"]}
    clock = Clock(trace["counter"][1][1])
    monkeypatch.setattr(idle, "time", clock)
    with Metering([ReplayMeter(TRACE, clock.played)]) as metering:
        clock.ahead_s = 1.0
        for state, (low_w, high_w) in STATES_W.items():
            mark = marks[f"idle_{state}"]
            clock.wait(mark["start"] + 0.5 - clock.now_s)
            policy = IdlePolicy(seconds=mark["end"] - clock.now_s)
            found = read_idle(metering, policy, [], state=state, wait=clock.wait).record
            assert low_w < found.power_w < high_w
            assert found.state == state
            assert found.std_w < 3.0
            assert found.method == "counter_ring"
            assert found.uncertainty_w < 2.0
            assert found.flags == ["replayed_energy"]
