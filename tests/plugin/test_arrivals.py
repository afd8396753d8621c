"""Experiments whose requests have times: schedule, record, table, refusals."""

import csv

import pytest

SOURCE = """
import pytest

@pytest.mark.lem(requests=40, batch_size=8, arrivals={"rate_rps": 400})
def test_it(lem):
    lem()
"""


def test_requests_are_sent_as_they_are_due_and_the_record_says_so(run, report):
    """The same schedule in all windows; latency from due times and from sent ones."""
    shown = run(SOURCE.replace("40,", "40, streaming=True,"), "--lem-json=r.json")
    (experiment,) = report().experiments
    windows = [w for cycle in experiment.cycles for w in cycle.windows]
    assert [w.kind for w in windows] == ["energy", "latency"] * 2
    assert [w.requests for w in windows] == [40, 45] * 2
    first, timed, again, _ = (w.arrivals for w in windows)
    assert first["mode"] == "poisson"
    assert first["offered_rps"] == again["offered_rps"]
    assert first["queue_lag_ms"]["min"] >= 0
    assert first["gaps"]["n"] == 39
    assert set(first["gaps"]["nulls"]) == set()
    assert (first["ttft_sched_ms"], timed["ttft_sched_ms"]["n"]) == (None, 40)
    sent, due = windows[1].latency["e2e_ms"], timed["e2e_sched_ms"]
    lag = timed["queue_lag_ms"]
    assert sent["mean"] <= due["mean"] <= sent["mean"] + lag["max"]
    assert 0 < first["busy_share"] <= 1
    assert first["steady"].keys() == timed["steady"].keys()
    assert not {"host_overhead", "latency_at_batch_1"} & {*experiment.flags}
    assert "unsupported_percentiles" in experiment.flags
    ends = experiment.extended["percentiles"]
    assert ends["ttft_p50_low_ms"] <= experiment.summary["ttft_p50_ms"].value
    assert {"ttft_p95_ms", "ttft_p99_ms"} <= {*ends["unsupported"]}
    shown.stdout.fnmatch_lines(["Latency in ms*", "*test_it* [[]*, *] * [?]*, -]*"])


def test_a_closed_loop_tells_what_means_something_in_it(run, report):
    """Rates, the busy share, who waited; nothing of a schedule, which it has not."""
    source = SOURCE.replace('arrivals={"rate_rps": 400}', "concurrency=%s")
    result = run(source % "16, streaming=True", "--lem-json=r.json")
    result.stdout.fnmatch_lines(["Requests as they were sent*", "*test_it*closed 16*"])
    (experiment,) = report().experiments
    energy, timed, *_ = experiment.cycles[0].windows
    assert (energy.requests, timed.requests) == (40, 45)
    for window in (energy, timed):
        told = window.arrivals
        assert (told["mode"], told["concurrency"], told["at_once"]) == ("closed", 16, 8)
        assert told["busy_share"] == pytest.approx(1)
        assert 8 < told["in_flight"] <= 16
        assert told["achieved_rps"] > 0
        reasons = set(told["nulls"].values())
        assert reasons == {"closed_loop"}
        assert all(told[name] is None for name in told["nulls"])
        assert "requests_queued" in window.flags
    assert "latency_at_batch_1" not in experiment.flags
    run((source % "16").replace(" batch_size=8,", ""), "--lem-json=r.json")
    (experiment,) = report().experiments
    assert "requests_queued" not in experiment.flags
    assert experiment.cycles[0].windows[0].arrivals["at_once"] == 16


def test_rates_and_the_test_of_gaps_are_printed(run):
    """Below the table, for the last window."""
    result = run(SOURCE)
    result.stdout.fnmatch_lines(
        ["Requests as they were sent*", "*offered/s*KS p*", "*test_it*poisson*"]
    )


def test_without_a_schedule_nothing_is_said_of_arrivals(run, report):
    """A batch is sent at once."""
    result = run(
        SOURCE.replace(', arrivals={"rate_rps": 400}', ""), "--lem-json=r.json"
    )
    result.stdout.no_fnmatch_line("Requests as they were sent*")
    assert report().experiments[0].cycles[0].windows[0].arrivals is None


def test_recorded_times_are_found_beside_the_test(run, project, report):
    """And an identity has the times, not where they lie."""
    inner = project.mkdir("inner")
    (inner / "times.txt").write_text("5\n5.01\n5.03\n")
    source = SOURCE.replace("40,", "3,").replace(
        '{"rate_rps": 400}', '{"mode": "trace", "file": "times.txt"}'
    )
    (inner / "test_in.py").write_text(source)
    run(None, "inner", "--lem-json=r.json").assert_outcomes(passed=1)
    window = report().experiments[0].cycles[0].windows[0]
    assert window.arrivals["offered_rps"] == pytest.approx(2 / 0.03)
    (inner / "times.txt").write_text("5\n")
    result = run(None, "inner")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *times.txt has 1 times and a window 3*"])


WHOLE = """
from pytest_lem.engines.registry import EngineEntry

def pytest_lem_register_engines(registry):
    registry.add(EngineEntry(name="whole", target="whole:Whole"))
"""


@pytest.mark.parametrize(
    ("key", "value"), [("arrivals", '{"rate_rps": 400}'), ("concurrency", "9")]
)
def test_an_engine_that_takes_whole_batches_is_refused(run, extend, key, value):
    """With those that take requests one by one."""
    extend(WHOLE)
    source = SOURCE.replace('arrivals={"rate_rps": 400}', f"{key}={value}")
    result = run(source, "--lem-backend=whole", "--collect-only")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    told = f"ERROR: *{key}: whole is given all requests*fake, *, vllm can be given*"
    result.stderr.fnmatch_lines([told])


def test_a_loop_of_the_test_s_own_has_no_schedule(run):
    """It sends when it likes."""
    result = run(SOURCE.replace("    lem()", "    lem.window()"))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*arrivals and lem.window() exclude each other*"])


def test_goodput_counts_the_requests_that_met_their_limits(run, project, report):
    """Of timed windows; limits change no identity, and untimed tokens meet nothing."""
    source = SOURCE.replace("40,", "40, streaming=True,").replace("400}", "4000}%s")
    run(source.replace("%s", ""), "--lem-json=r.json")
    plain = report().experiments[0]
    assert [w.goodput for w in plain.cycles[0].windows] == [None, None]
    limits = ', slo={"tpot_ms": 1.5, "e2e_ms": 60000}'
    shown = run(
        source.replace("%s", limits),
        "--lem-json=r.json",
        "--lem-csv=r.csv",
        "--lem-meter=fake",
    )
    limited = report().experiments[0]
    assert limited.identity == plain.identity
    untimed, timed = (w.goodput for w in limited.cycles[0].windows)
    assert untimed["reason"] == "no_token_stamps"
    assert (timed["good"], timed["requests"], timed["attainment"]) == (40, 40, 1)
    assert 0.9 < timed["attainment_low"] < 1
    assert timed["attainment_high"] == pytest.approx(1)
    assert timed["goodput_per_joule"] > 0
    shown.stdout.fnmatch_lines(["Requests that met*", "*tpot_ms=1.5*80/80*1 [[]0.9*"])
    row = next(csv.DictReader((project.path / "r.csv").open()))
    assert (row["goodput_good"], row["attainment"]) == ("80", "1.0")
    part = limited.cycles[0].goodput["steady"]
    assert 0 < part["requests"] <= 40
    assert part["good"] == part["requests"]
    assert float(row["goodput_steady_attainment"]) == 1
    run(source.replace("%s", ', slo={"tpot_ms": 0.5}'), "--lem-json=r.json")
    missed = report().experiments[0]
    assert missed.summary["goodput_rps"].value == 0
    assert missed.nulls["summary.goodput_per_joule"].startswith("no_meter")
    window = missed.cycles[0].windows[1]
    assert (window.goodput["good"], window.goodput["goodput_rps"]) == (0, 0)
    assert window.goodput["goodput_per_joule"] is None
    assert window.goodput["reason"] == "no_meter: none was asked for"
