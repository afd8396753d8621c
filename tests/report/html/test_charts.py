"""Charts as plain figures: what is in them, and how it looks."""

from pytest_lem.report.html.charts.all import charts
from pytest_lem.report.html.charts.bars import bars
from pytest_lem.report.html.charts.points import points
from pytest_lem.report.html.view import experiments
from tests.report.html.making import SPEED, experiment, source


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
            assert "[" in chart.layout["yaxis"]["title"]["text"]
            assert chart.rows
            assert {len(row) for row in chart.rows} == {len(chart.columns)}
        else:
            assert chart.missing
