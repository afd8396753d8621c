"""Charts as plain figures: what is in them, and how it looks."""

import pytest

from pytest_lem.report.html.charts.all import charts
from pytest_lem.report.html.charts.bars import bars
from pytest_lem.report.html.charts.boxes import boxes
from pytest_lem.report.html.charts.history import history
from pytest_lem.report.html.charts.points import points
from pytest_lem.report.html.charts.scaling import scaling
from pytest_lem.report.html.charts.shares import heatmap
from pytest_lem.report.html.view import experiments
from tests.report.html.making import ENERGY, SPEED, experiment, source


def shown(*made):
    return experiments([source(*made)])


def test_points_have_both_intervals_and_what_is_null_is_not_there():
    """An experiment without one of the two numbers is no point."""
    chart = points(shown(experiment("a"), experiment("b", metrics={SPEED: 1.0})))
    (trace,) = chart.data
    assert (trace["x"], trace["y"], trace["meta"]["rows"]) == ([20.0], [2.0], [0])
    assert trace["error_y"]["array"][0] > 0
    assert chart.layout["yaxis"]["title"]["text"] == "Energy per output token [J/token]"
    assert len(chart.rows) == 1
    assert len(chart.rows[0]) == len(chart.columns)


def test_without_energy_latency_takes_its_place():
    """And without either there is no chart, but a sentence."""
    timed = {SPEED: 9.0, "e2e_mean_ms": 3.0}
    chart = points(shown(experiment(metrics=timed)))
    assert chart.layout["yaxis"]["title"]["text"] == "E2E mean [ms]"
    assert points(shown(experiment(metrics={SPEED: 9.0}))).missing


def test_what_nobody_measured_is_open_or_hatched_and_named_in_the_legend():
    """Of one backend both kinds may be there."""
    made = [
        experiment("a", batch_size=1),
        experiment("b", batch_size=2, flags=["estimated_energy"]),
    ]
    full, open_ = points(shown(*made)).data
    assert (full["name"], open_["name"]) == ("fake", "fake (estimated)")
    assert full["marker"]["symbol"] == "circle"
    assert open_["marker"]["symbol"] == "circle-open"
    (chart,) = (c for c in bars(shown(*made)) if "batch" in c.key and "energy" in c.key)
    assert ["pattern" in trace["marker"] for trace in chart.data] == [False, True]


def test_bars_stand_together_where_all_else_was_asked_alike():
    """By the values of the parameter in their order; one asked twice stands twice."""
    made = [
        *(experiment(f"t{b}", batch_size=b, values=(float(b),)) for b in (16, 4)),
        experiment("again", batch_size=4, values=(5.0,)),
        experiment("other", batch_size=4, output_tokens=9),
    ]
    (chart,) = (c for c in bars(shown(*made)) if c.key == f"bars-batch_size-{SPEED}")
    assert [(one["name"], one["y"]) for one in chart.data] == [
        ("4", [40.0]),
        ("4", [50.0]),
        ("16", [160.0]),
    ]
    assert [one["showlegend"] for one in chart.data] == [True, False, True]


def test_a_front_is_of_what_rests_on_the_same():
    """Through those that nothing beats; an estimate never beats a measurement."""
    fast = {ENERGY: 4.0, SPEED: 90.0}
    made = [
        experiment("cheap", metrics={ENERGY: 1.0, SPEED: 10.0}),
        experiment("beaten", metrics={ENERGY: 5.0, SPEED: 50.0}),
        experiment("fast", metrics=fast),
        experiment("guess", metrics={**fast, ENERGY: 0.1}, flags=["estimated_energy"]),
    ]
    front, *_ = points(shown(*made)).data
    assert (front["name"], front["x"], front["y"]) == (
        "Pareto front",
        [10.0, 90.0],
        [1.0, 4.0],
    )


def test_lines_go_with_a_number_all_else_being_alike():
    """In its order, with ticks at its values; another backend is another line."""
    made = [
        experiment(f"{backend}{b}", batch_size=b, backend=backend, values=(1.0 / b, 1))
        for backend in ("fake", "vllm")
        for b in (16, 1, 4)
    ]
    chart = next(c for c in scaling(shown(*made)) if c.key.endswith(ENERGY))
    assert [(one["name"], one["x"]) for one in chart.data] == [
        ("backend=fake", [1, 4, 16]),
        ("backend=vllm", [1, 4, 16]),
    ]
    assert chart.layout["xaxis"]["type"] == "log"
    assert chart.layout["xaxis"]["tickvals"] == [1, 4, 16]


@pytest.mark.parametrize(("most", "kind"), [(29.0, None), (31.0, "log")])
def test_what_goes_far_is_drawn_by_a_logarithm(most, kind):
    """Small values would lie on each other; bars begin at 0 and stay as they are."""
    made = [
        experiment("low", batch_size=1, values=(1.0,)),
        experiment("high", batch_size=2, values=(most,)),
    ]
    assert points(shown(*made)).layout["xaxis"].get("type") == kind
    (lines,) = (c for c in scaling(shown(*made)) if c.key.endswith(f"size-{SPEED}"))
    assert lines.layout["yaxis"].get("type") == kind
    (chart,) = (c for c in bars(shown(*made)) if c.key == f"bars-batch_size-{SPEED}")
    assert "type" not in chart.layout["yaxis"]


def test_groups_stand_in_the_order_of_what_was_asked_for():
    """Numbers by what they are: 64 comes before 256."""
    made = [
        experiment(f"{backend}{size}", backend=backend, batch_size=size)
        for size in (256, 8, 64)
        for backend in ("fake", "vllm")
    ]
    (chart,) = (c for c in bars(shown(*made)) if c.key == f"bars-backend-{SPEED}")
    assert chart.data[0]["x"] == [f"batch_size={size}" for size in (8, 64, 256)]


def test_boxes_have_a_point_for_each_cycle():
    """Of those that have several; equal names are told apart by their sessions."""
    days = [source(experiment("a"), session=f"day {k}", day=k) for k in (1, 2)]
    single = source(experiment("b", values=(1.0,)), session="late", day=3)
    chart = boxes(experiments([*days, single]))[0]
    (trace,) = chart.data
    assert trace["x"] == [1.0, 2.0, 3.0] * 2
    assert trace["y"] == ["a, 01-01 00:00"] * 3 + ["a, 01-02 00:00"] * 3
    assert trace["meta"]["rows"] == [0, 0, 0, 1, 1, 1]


def test_history_has_a_line_over_sessions_and_the_limits_of_its_gate():
    """Sessions in the order in which they began; one session is no history."""
    rules = [{"metric": ENERGY, "limit_pct": 10.0, "reference": [2.0]}]
    judged = experiment("a", gate={"verdict": "pass", "rules": rules})
    days = [source(judged, session="t", day=2), source(experiment("a"), day=1)]
    values, limits = history(experiments(days))[0].data
    assert values["x"] == sorted(values["x"])
    assert values["meta"]["rows"] == [0, 1]
    assert (limits["y"], limits["meta"]["rows"]) == ([pytest.approx(2.2)], [1])
    assert history(experiments(days[:1]))[0].missing


def test_a_heatmap_tells_what_drives_each_metric():
    """All of the variance is that of the one setting that matters."""
    made = [
        experiment(f"{b}-{t}", batch_size=b, output_tokens=t, values=(b / 1.0,) * 3)
        for b in (1, 4)
        for t in (8, 16)
    ]
    chart = heatmap(shown(*made))
    shares = {row[0]: row[1] for row in chart.rows}
    assert shares == {
        "batch_size": pytest.approx(1.0),
        "output_tokens": pytest.approx(0.0, abs=1e-9),
    }
    assert heatmap(shown(*made[:2])).missing


def test_names_are_text_to_plotly_which_knows_some_html():
    """Tags and links are shown as they stand, and what is long is cut."""
    name = "<a href='javascript:1'>x</a>" + "y" * 1000
    (trace,) = points(shown(experiment(name))).data
    (text,) = trace["text"]
    assert text.startswith("&lt;a href=")
    assert len(text) < 80


def test_every_chart_has_a_title_units_a_sentence_and_its_data():
    """Whatever is drawn; and a reason for whatever is not."""
    made = [experiment(f"b{b}", batch_size=b) for b in (1, 2)]
    for chart in charts(shown(*made)):
        assert chart.title
        assert chart.told.endswith(".")
        if chart.drawn:
            axes = [chart.layout[key].get("title", {}) for key in ("xaxis", "yaxis")]
            assert any("[" in one.get("text", "") for one in axes)
            assert chart.rows
            assert {len(row) for row in chart.rows} == {len(chart.columns)}
        else:
            assert chart.missing
