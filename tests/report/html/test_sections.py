"""Details of an experiment: latency, arrival, warm-up, memory, settings and facts."""

import pytest

from pytest_lem.analysis.requests import Request
from pytest_lem.records.quality import CycleQuality, Perplexity
from pytest_lem.records.record import WarmupRecord
from pytest_lem.records.stamps import Stamped, write_stamps
from pytest_lem.report.html.sections.arrivals import ALL_AT_ONCE, arrivals
from pytest_lem.report.html.sections.facts import (
    cycles,
    environment,
    missing,
    settings,
)
from pytest_lem.report.html.sections.latency import latency
from pytest_lem.report.html.sections.memory import memory
from pytest_lem.report.html.sections.quality import quality
from pytest_lem.report.html.sections.warmup import warmup
from tests.store.making import cycle

BLOCK = {
    "min": 1.0,
    "p50": 2.0,
    "p50_low": 1.5,
    "p50_high": 2.5,
    "p95": 4.0,
    "max": 9.0,
}


def changed(one, **values):
    return one.model_copy(update=values)


def requests(count):
    """Every 10 ms one, with two tokens, which takes a millisecond more each time."""
    return [
        Request(
            input_tokens=3,
            output_tokens=2,
            due_ns=k * 10_000_000,
            sent_ns=k * 10_000_000 + 1000,
            ended_ns=k * 10_000_000 + (k + 4) * 1_000_000,
            token_ns=[k * 10_000_000 + 2_001_000, k * 10_000_000 + 3_001_000],
        )
        for k in range(count)
    ]


@pytest.fixture
def stamped_cycle(tmp_path):
    """A cycle whose second window's requests were kept beside the report."""
    (tmp_path / "stamps").mkdir()
    path = tmp_path / "stamps" / "c.parquet"
    write_stamps([Stamped(window=1, kind="energy", requests=requests(50))], path)
    law = {"mode": "poisson", "offered_rps": 100.0, "saturated": False}
    law |= {"gaps": {"ks": {"p": 0.4}, "nulls": {"lag1": "not_drawn"}}, "nulls": {}}
    one = cycle()
    windows = [one.windows[0], changed(one.windows[1], arrivals=law)]
    return changed(
        one, windows=windows, stamps_path="/elsewhere/stamps/c.parquet", latency=None
    )


def test_latency_has_curves_of_all_requests_that_were_kept(show, stamped_cycle):
    """Also where the files lie beside a report that was moved with them."""
    (chart,) = latency(show(stamped_cycle)).charts
    curves = {one["name"]: one for one in chart.data}
    assert set(curves) == {f"{name}, all requests" for name in ("TTFT", "ITL", "E2E")}
    ttft, whole = curves["TTFT, all requests"], curves["E2E, all requests"]
    assert set(ttft["x"]) == {2.0}
    assert (whole["y"][-1], whole["x"][-1]) == (1.0, pytest.approx(52.999))


def test_percentiles_of_cycles_stand_beside_with_their_intervals(show):
    """Without files these are all there is."""
    one = changed(cycle(), latency={"ttft_ms": BLOCK, "itl_ms": None, "e2e_ms": BLOCK})
    (chart,) = latency(show(one)).charts
    assert [trace["name"] for trace in chart.data] == [
        "TTFT, each cycle",
        "E2E, each cycle",
    ]
    marks = chart.data[0]
    assert (marks["x"], marks["y"]) == ([1.0, 2.0, 4.0, 9.0], [0.0, 0.5, 0.95, 1.0])
    assert marks["error_x"]["array"] == [None, 0.5, None, None]
    assert "--lem-save-stamps" in chart.told


def test_without_latency_the_reason_stands_there(show):
    """Nothing is drawn."""
    found = latency(show(changed(cycle(), nulls={"e2e_mean_ms": "no_windows"})))
    assert (found.charts, "no_windows" in found.missing) == ((), True)


def test_arrivals_are_counted_and_their_checks_told(show, stamped_cycle):
    """Checks without a value have the reason."""
    found = arrivals(show(stamped_cycle))
    (chart,), (table,) = found.charts, found.tables
    assert [one["name"] for one in chart.data] == ["due", "sent", "done"]
    assert all(one["y"][-1] == 50 for one in chart.data)
    checks = dict(table.rows)
    assert checks["offered, requests/s"] == "100"
    assert checks["saturated"] == "false"
    assert checks["gaps: correlation with the next"] == "none (not_drawn)"
    assert checks["in flight on the mean"] == "none (not told)"


def test_requests_that_were_sent_at_once_have_no_arrival(show):
    """One sentence says so."""
    assert arrivals(show(cycle())).missing == ALL_AT_ONCE


def test_a_warm_up_is_a_curve_for_each_cycle(show):
    """Seconds by iteration; without them its numbers alone."""
    told = {"policy": "cv", "converged": True, "cv": 0.01, "energy_j": None}
    times = {"iterations": 2, "duration_s": 1.0, "durations_s": [0.6, 0.4]}
    one = changed(cycle(), warmup=WarmupRecord(**told, **times))
    found = warmup(show(one, changed(one, index=1)))
    assert [trace["y"] for trace in found.charts[0].data] == [[0.6, 0.4]] * 2
    assert found.tables[0].rows[0] == [0, "cv", 2, "yes", "0.01", "1", "-"]
    older = WarmupRecord(**told, iterations=2, duration_s=1.0)
    (chart,) = warmup(show(changed(cycle(), warmup=older))).charts
    assert "not in the record" in chart.missing
    assert warmup(show(cycle())).missing == "No warm-up (none is recorded)."


def test_memory_has_bars_of_what_is_known_and_reasons_of_the_rest(show):
    """A null is no bar."""
    load = {"duration_s": 1.0, "energy_j": None, "load_peak_mb": 512.0}
    found = memory(show(changed(cycle(), load=load)))
    assert found.charts[0].data[0]["y"] == ["peak of the load"]
    assert "model (not_reported_by_engine)" in found.told
    assert "Nothing is known" in memory(show(cycle())).missing


def test_quality_has_perplexities_with_their_texts_and_scores_of_users(show):
    """A null has its reason; where nobody asked a sentence says so."""
    text = Perplexity(value=9.5, tokens=99, sha256="f00", text="mill", duration_s=1.0)
    text = changed(text, window_tokens=512, stride_tokens=256)
    one = changed(cycle(), quality=CycleQuality(perplexity=text))
    facts = dict(quality(show(one)).facts)
    assert facts["Perplexity"] == "9.5"
    assert facts["Perplexity over"] == "99 tokens of mill, read 512 at once"
    assert facts["Perplexity: SHA-256"] == "f00"
    endless = changed(one, quality=CycleQuality(perplexity=changed(text, value=None)))
    endless = changed(endless, nulls={"quality.perplexity": "not_finite"})
    assert dict(quality(show(endless)).facts)["Perplexity"] == "not_finite"
    assert quality(show(cycle())).missing.startswith("Nobody looked at its answers")


def test_settings_have_what_was_asked_what_ran_and_who_said_so(show):
    """Leaves of groups one by one; what nobody said apart, what else ran last."""
    one = changed(cycle(), effective={"seed": 7, "dtype": "float32", "padding": None})
    said, defaults, ran = settings(show(one)).tables
    assert said.rows == [["backend", "fake", "", "cli"]]
    rows = {row[0]: row[1:] for row in defaults.rows}
    assert rows["seed"] == ["42", "7", "default"]
    assert rows["slo"] == ["unset", "", "default"]
    assert rows["cycles"][0] == "3"
    assert ran.rows == [["seed", "7"], ["dtype", "float32"]]


def test_the_environment_is_told_by_the_paths_of_its_keys(show):
    """Lists of objects by their places."""
    rows = dict(environment(show(cycle())).tables[0].rows)
    assert rows["gpu.0.name"] == "GPU X"
    assert rows["engine.name"] == "fake"


def test_cycles_that_do_not_count_are_told_with_why(show):
    """Their errors are text on one line."""
    error = {"kind": "engine_error", "type": "E", "message": "a\n<b>", "detail": ""}
    lost = {**cycle(1).model_dump(), "status": "failed", "error": error, "windows": []}
    found = cycles(show(cycle(), type(cycle()).model_validate(lost)))
    assert [row[1] for row in found.tables[0].rows] == ["complete", "failed"]
    assert found.tables[0].rows[1][-1] == r"engine_error: a\n<b>"


def test_every_null_has_its_reason(show):
    """In one table."""
    rows = dict(missing(show(cycle())).tables[0].rows)
    assert rows["extended.memory.model_mb"] == "not_reported_by_engine"
