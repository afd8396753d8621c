"""The report of a real GPU that the documentation shows, as pages draw it."""

from pathlib import Path

from pytest_lem.records.export import read_json
from pytest_lem.report.html.sections.timeline import power
from pytest_lem.report.html.view import Source, experiments

REPORT = Path(__file__).parents[3] / "docs" / "gallery" / "h200.json"


def test_the_power_of_a_real_gpu_is_drawn_with_its_windows():
    """In steps of its counter, less when idle than in windows."""
    source = Source(record=read_json(REPORT), folder=REPORT.parent)
    first, second, interrupted = experiments([source])
    (chart,) = power(second).charts
    line, *lanes = chart.data
    assert line["name"] == "GPU 0, NVIDIA H200, counter"
    assert [one["name"] for one in lanes] == ["idle", "warm-up", "window"]
    assert 100 < min(line["y"]) < 140 < max(line["y"]) < 200
    assert len(power(first).charts) == 1
    assert power(interrupted).missing == "No cycle completed."
