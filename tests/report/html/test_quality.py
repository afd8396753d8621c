"""What answers are worth against what they cost, as charts of a page."""

import pytest

from pytest_lem.records.quality import Perplexity, Score
from pytest_lem.report.html.charts.all import charts
from pytest_lem.report.html.charts.quality import quality
from pytest_lem.report.html.view import experiments
from tests.report.html.making import ENERGY, experiment, source

PERPLEXITY = "perplexity"


def judged(name, value, joules, *, text="a", scores=None, **changed):
    """An experiment with the perplexity of a text, or with scores of a user."""
    metrics = {ENERGY: joules} | ({PERPLEXITY: value} if value else {})
    one = experiment(name, metrics=metrics, **changed)
    told = Perplexity(value=value, tokens=9, sha256=text, text=text, duration_s=1.0)
    found = {
        key: Score(value=score, better=better, sha256="f")
        for key, (score, better) in (scores or {}).items()
    }
    update = {"perplexity": told if value else None, "scores": found}
    return one.model_copy(update={"quality": one.quality.model_copy(update=update)})


def shown(*made):
    return experiments([source(*made)])


def test_perplexity_stands_against_energy_with_its_front():
    """Less of both is better: the line goes through what nothing beats."""
    made = [
        judged(f"t{k}", value, joules, batch_size=k + 1)
        for k, (value, joules) in enumerate([(8.0, 3.0), (9.0, 1.0), (9.5, 2.0)])
    ]
    (chart,) = quality(shown(*made))
    line, marks = chart.data
    assert (line["x"], line["y"]) == ([8.0, 9.0], [3.0, 1.0])
    assert line["line"]["shape"] == "hv"
    assert (marks["x"], marks["meta"]["rows"]) == ([8.0, 9.0, 9.5], [0, 1, 2])
    assert "further left is better" in chart.told
    assert {len(row) for row in chart.rows} == {len(chart.columns)}
    assert chart.layout["xaxis"]["title"]["text"] == "Perplexity [1]"


def test_random_weights_are_open_and_named():
    """And on no line with what is real."""
    made = [
        judged("a", 8.0, 3.0, batch_size=1),
        judged("b", 7.0, 2.0, batch_size=2, flags=["synthetic_perplexity"]),
    ]
    (chart,) = quality(shown(*made))
    assert [one["name"] for one in chart.data] == ["fake", "fake (synthetic)"]


def test_perplexities_of_two_texts_are_two_charts():
    """They are no two values of one thing."""
    made = [judged("a", 8.0, 3.0), judged("b", 80.0, 2.0, text="b", batch_size=2)]
    first, second = quality(shown(*made))
    assert [one["x"] for one in first.data] == [[8.0]]
    assert [one["x"] for one in second.data] == [[80.0]]
    assert first.key != second.key


@pytest.mark.parametrize(
    ("better", "lines", "word"), [("higher", 1, "right"), ("lower", 1, "left")]
)
def test_scores_of_users_have_charts_by_their_direction(better, lines, word):
    """A score that is missing is no point."""
    ways = [(0.5, 1.0), (0.6, 2.0), (0.4, 3.0)]
    made = [
        judged(f"t{k}", None, cost, scores={"<b>": (score, better)}, batch_size=k + 1)
        for k, (score, cost) in enumerate(ways)
    ]
    made.append(judged("none", None, 1.0, scores={"<b>": (None, better)}, batch_size=9))
    (chart,) = quality(shown(*made))
    fronts = [one for one in chart.data if one["mode"] == "lines"]
    assert len(fronts) == lines
    assert f"further {word} is better" in chart.told
    assert len(chart.rows) == 3
    assert chart.layout["xaxis"]["title"]["text"] == "&lt;b&gt;"


def test_a_score_without_a_direction_has_no_front():
    """Nobody knows which end is better."""
    made = [judged("a", None, 1.0, scores={"style": (3.0, None)})]
    (chart,) = quality(shown(*made))
    assert [one["mode"] for one in chart.data] == ["markers"]
    assert "is better" not in chart.told


def test_without_quality_there_is_no_chart_of_it():
    """Nobody asked for any."""
    assert quality(shown(experiment())) == []
    assert not [one for one in charts(shown(experiment())) if "quality" in one.key]
