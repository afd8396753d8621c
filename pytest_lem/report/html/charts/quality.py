"""How good answers are against what they cost: perplexity, and scores of users."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_lem.analysis.gating import Direction
from pytest_lem.report.html.charts.figure import Chart, layout, plain
from pytest_lem.report.html.charts.points import (
    FIRST_COLUMNS,
    Pair,
    columns_of,
    cost_of,
    fronts,
    row_of,
    series,
)
from pytest_lem.report.html.view import Number, Shown
from pytest_lem.report.html.words import axis, several, short, title

PERPLEXITY = "perplexity"
MOST_SCORES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Worth:
    """What answers are worth by one word, of those experiments where it is known."""

    key: str
    name: str
    axis: str
    better: Direction | None
    numbers: Mapping[int, Number]


def quality(shown: Sequence[Shown]) -> list[Chart]:
    """A chart for perplexity of each text, and one for each score; none without."""
    found = [*_perplexities(shown), *_scores(shown)]
    drawn = (_chart(shown, worth, cost_of(shown)) for worth in found)
    return [chart for chart in drawn if chart is not None]


def _chart(shown: Sequence[Shown], worth: _Worth, cost: str) -> Chart | None:
    there: dict[int, Pair] = {
        k: (number, shown[k].numbers[cost])
        for k, number in worth.numbers.items()
        if shown[k].has(cost)
    }
    if not there:
        return None
    told, line = "lower is cheaper.", []
    if worth.better:
        side = "left" if worth.better == "lower" else "right"
        told = f"further {side} is better, {told} No other experiment beats those on "
        told += "the line in both."
        line = fronts(there, (worth.better, "lower"))
    return Chart(
        key=worth.key,
        title=f"{title(cost)} against {short(worth.name, 48)}",
        told=f"{several(len(there), 'experiment')}, each a point: {told}",
        data=[*line, *series(shown, there)],
        layout=layout(worth.axis, axis(cost)),
        columns=[*FIRST_COLUMNS, *columns_of(short(worth.name), cost)],
        rows=[row_of(shown[k], pair) for k, pair in there.items()],
    )


def _perplexities(shown: Sequence[Shown]) -> Iterator[_Worth]:
    """Of each text that was judged; another text, or window, has another perplexity."""
    found: dict[tuple[str, str, str], dict[int, Number]] = {}
    for k, one in enumerate(shown):
        told = one.side.experiment.quality.perplexity
        if told is not None and one.has(PERPLEXITY):
            size = f"{told.window_tokens}/{told.stride_tokens}"
            key = (str(told.text), told.sha256, size)
            found.setdefault(key, {})[k] = one.numbers[PERPLEXITY]
    for place, ((text, *_), numbers) in enumerate(found.items()):
        yield _Worth(
            key=f"quality-text-{place}",
            name=f"perplexity of {text}" if len(found) > 1 else PERPLEXITY,
            axis=axis(PERPLEXITY),
            better="lower",
            numbers=numbers,
        )


def _scores(shown: Sequence[Shown]) -> Iterator[_Worth]:
    found: dict[str, Direction | None] = {}
    for one in shown:
        for name, score in one.side.experiment.quality.scores.items():
            found.setdefault(name, score.better)
    for place, (name, better) in enumerate([*found.items()][:MOST_SCORES]):
        known = ((k, _score(one, name)) for k, one in enumerate(shown))
        yield _Worth(
            key=f"quality-score-{place}",
            name=name,
            axis=plain(name),
            better=better,
            numbers={k: number for k, number in known if number is not None},
        )


def _score(one: Shown, name: str) -> Number | None:
    """A score has no interval, and somebody else answers for it."""
    score = one.side.experiment.quality.scores.get(name)
    if score is None or score.value is None:
        return None
    return Number(
        value=score.value,
        low=None,
        high=None,
        samples=(score.value,),
        kind="measured",
    )
