"""What drives each metric: shares of variance, a row for each setting."""

from collections.abc import Sequence

from pytest_lem.report.html.charts.figure import Chart, nothing, plain
from pytest_lem.report.html.view import Shown
from pytest_lem.report.html.words import several, title
from pytest_lem.report.sensitivity import shares

KEY, NAME = "shares", "What drives each metric"
_METRICS = (
    *("energy_per_output_token_j", "energy_per_output_token_net_j", "avg_power_w"),
    *("output_throughput_tps", "ttft_p50_ms", "itl_p50_ms", "e2e_mean_ms"),
    "memory_peak_mb",
)
_LEAST = 4


def heatmap(shown: Sequence[Shown]) -> Chart:
    """How much of a metric's variance is that of each setting that differs.

    The grid may have holes: then shares do not add up to one.
    """
    there = [one.side for one in shown if one.cycles]
    if len(there) < _LEAST:
        return nothing(KEY, NAME, f"That takes {_LEAST} experiments or more.")
    found = shares(there, _METRICS)
    if not found.settings:
        return nothing(KEY, NAME, "Experiments do not differ in any setting.")
    percent = [
        [None if share is None else 100 * share for share in row]
        for row in found.shares
    ]
    names = [title(metric) for metric in found.metrics]
    return Chart(
        key=KEY,
        title=NAME,
        told=f"Share of variance over {several(len(there), 'experiment')} that each "
        "setting explains beside all others (type II sums of squares, as lem "
        "sensitivity tells them); what they cannot tell apart is left empty.",
        data=[
            {
                "type": "heatmap",
                "x": names,
                "y": [plain(one) for one in found.settings],
                "z": percent,
                "zmin": 0,
                "zmax": 100,
                "xgap": 2,
                "ygap": 2,
                "colorscale": "Cividis",
                "reversescale": True,
                "hoverongaps": False,
                "texttemplate": "%{z:.0f}",
                "hovertemplate": "%{y}<br>%{x}<br>%{z:.1f} %<extra></extra>",
                "colorbar": {"title": {"text": "% of variance"}, "thickness": 12},
            }
        ],
        layout={
            "xaxis": {"title": {"text": "metric"}, "automargin": True, "side": "top"},
            "yaxis": {
                "title": {"text": "setting"},
                "automargin": True,
                "autorange": "reversed",
                "type": "category",
            },
            "margin": {"l": 64, "r": 16, "t": 48, "b": 16},
        },
        columns=["setting", *(f"{metric}_share" for metric in found.metrics)],
        rows=[
            [setting, *row]
            for setting, row in zip(found.settings, found.shares, strict=True)
        ],
        row_px=34,
        wide=True,
    )
