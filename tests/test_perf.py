"""The arithmetic of the scripts that prove the timeline on a GPU, without one."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_lem.machine import gpu

PERF = Path(__file__).parents[1] / "benchmarks" / "perf"
HIGH_W, LOW_W, PHASE_S, STEP_S = 600.0, 200.0, 0.7, 0.1


@pytest.fixture
def perf(monkeypatch):
    """The scripts, importable as they import each other."""
    monkeypatch.syspath_prepend(str(PERF))
    import gpu_bench
    import perf_phases_gpu
    import perf_sidebyside

    yield gpu_bench, perf_phases_gpu, perf_sidebyside
    for name in ("gpu_bench", "perf_phases_gpu", "perf_sidebyside", "perf_timeline"):
        sys.modules.pop(name)
    sys.modules.pop("perf_sampler", None)


@pytest.mark.skipif(gpu.absence() is None, reason="a GPU is here")
@pytest.mark.parametrize(
    "command",
    ["sidebyside", "phases_gpu", "sampler", "gpu_harness --backend transformers"],
)
def test_without_a_gpu_a_script_says_so_in_one_line(command):
    """Status 2 is neither pass nor fail."""
    name, *arguments = command.split()
    done = subprocess.run(
        [sys.executable, str(PERF / f"perf_{name}.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("cannot run here: no NVIDIA driver")


def energy_j(time_s):
    """A square wave from 0 on, high first."""
    pairs, rest_s = divmod(time_s, 2 * PHASE_S)
    high_s = min(rest_s, PHASE_S)
    whole_j = pairs * PHASE_S * (HIGH_W + LOW_W)
    return whole_j + high_s * HIGH_W + (rest_s - high_s) * LOW_W


@pytest.mark.parametrize(("gain", "holds"), [(1.0, True), (1.05, False)])
def test_phases_close_where_counter_and_samples_agree(perf, gain, holds):
    """A square wave comes out in both ways; samples 5 % high are a FAIL."""
    gpu_bench, phases_gpu, _ = perf
    times = [k * 0.02 for k in range(1000)]
    steps = [int(t / STEP_S + 1e-9) * STEP_S for t in times]
    counter = gpu_bench.Counter(
        [(t, energy_j(s)) for t, s in zip(times, steps, strict=True)]
    )
    watts = [HIGH_W if (t / PHASE_S) % 2 < 1 else LOW_W for t in times]
    ring = gpu_bench.Ring([(t, gain * w) for t, w in zip(times, watts, strict=True)])
    phases = [
        ("small" if k % 2 else "large", k * PHASE_S, (k + 1) * PHASE_S)
        for k in range(1, 27)
    ]
    found = phases_gpu.figures(
        phases, lambda a, b: energy_j(b) - energy_j(a), counter, ring, 0.0
    )
    values = {one.name: one.value for one in found}
    assert values["large products: power, timeline"] == pytest.approx(HIGH_W)
    assert values["small products: power, timeline"] == pytest.approx(LOW_W)
    assert all(one.holds for one in found) is holds


@pytest.mark.parametrize(("ours_j", "holds"), [(1.01, True), (1.05, False)])
def test_a_third_of_the_others_error_is_the_bound_below_two_seconds(
    perf, ours_j, holds
):
    """Theirs are 9 % out and more; ours may be 3 % out."""
    sidebyside = perf[2]
    spans = [(10.0 * k, 10.0 * k + long_s) for k in range(8) for long_s in (1.0, 4.0)]
    taken = {
        tool: sidebyside.Taken(spans, [300 * (b - a) * factor for a, b in spans])
        for tool, factor in (
            (sidebyside.OURS, ours_j),
            (sidebyside.ZEUS, 0.91),
            (sidebyside.CODECARBON, 1.2),
        )
    }
    found = sidebyside.figures(taken, 300.0)
    bounds = [one.limit for one in found if one.limit is not None]
    assert bounds == pytest.approx([3.0, 3.0])
    assert all(one.holds for one in found) is holds
    assert all(one.n == 8 for one in found)


def test_mean_power_is_taken_between_steps_of_the_counter(perf):
    """Reads that show nothing new, and the ends of the span, do not matter."""
    counter = perf[0].Counter([(0.05 * k, 50.0 * (k // 2)) for k in range(100)])
    assert counter.mean_w(1.03, 4.42) == pytest.approx(500.0)
    assert perf[0].Ring([(0.0, 100.0), (10.0, 300.0)]).means_w(0.0, 2.0) == [
        pytest.approx(110.0),
        pytest.approx(130.0),
    ]


@pytest.mark.parametrize("slowed", [1.0, 0.8])
def test_what_polls_cost_a_loop_comes_from_its_pace_during_and_between(perf, slowed):
    """A loop at 0.8 of its pace for a tenth of the time has lost 2 %."""
    sampler = importlib.import_module("perf_sampler")
    stamps_s, time_s = [0.0], 0.0
    polls = [(k + 0.45, k + 0.55 - sampler.AFTERMATH_S) for k in range(10)]
    while time_s < 10.0:
        in_poll = 0.45 <= time_s % 1 < 0.55
        time_s += 0.0005 / (slowed if in_poll else 1.0)
        stamps_s.append(time_s)
    expected = pytest.approx(100 * 0.1 * (1 - slowed), abs=0.05)
    assert sampler.lost_pct(stamps_s, polls) == expected


def test_vllm_s_benchmark_is_given_our_times_and_lengths(monkeypatch, tmp_path):
    """A row for each request, whose prompt shares no chunk with another's."""
    monkeypatch.syspath_prepend(str(PERF))
    served = importlib.import_module("vllm_served")
    served.write_trace(tmp_path / "t.jsonl", [0.0, 0.25], 20, 7)
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").open()]
    assert [row["timestamp"] for row in rows] == [0.0, 0.25]
    assert [row["input_length"] for row in rows] == [20, 20]
    assert [row["hash_ids"] for row in rows] == [[0, 1], [2, 3]]


def test_a_server_s_own_means_are_of_the_requests_between_two_looks(monkeypatch):
    """Its histograms count from its start."""
    monkeypatch.syspath_prepend(str(PERF))
    served = importlib.import_module("vllm_served")
    names = served.HISTOGRAMS.values()
    before = {f"{one}_{part}": 10.0 for one in names for part in ("sum", "count")}
    after = {f"{one}_sum": 10.5 for one in names}
    after |= {f"{one}_count": 20.0 for one in names}
    found = served.own_figures(before, after)
    assert found == dict.fromkeys(served.HISTOGRAMS, pytest.approx(50.0))


@pytest.mark.slow
def test_a_report_of_a_hundred_thousand_requests_is_made_in_500_mb():
    """Of 100 processes, each with 1,000 requests of 128 tokens."""
    command = [sys.executable, str(PERF / "perf_aggregate.py"), "--files", "100"]
    subprocess.run(command, check=True)
