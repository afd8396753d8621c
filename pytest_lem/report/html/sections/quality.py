"""Quality: what the model makes of a text and of its outputs, and scores of users."""

from collections.abc import Iterator

from pytest_lem.records.quality import Perplexity
from pytest_lem.report.html.charts.figure import Cell
from pytest_lem.report.html.sections.section import Section, Table
from pytest_lem.report.html.view import Shown
from pytest_lem.report.html.words import number, short, title

KEY, TITLE = "quality", "Quality"
_RANDOM = "The weights are random: these numbers mean nothing."


def quality(shown: Shown) -> Section:
    """Perplexities of the last cycle with their texts, and a row for each score."""
    found = shown.side.experiment.quality
    facts = [*_perplexity(shown, "perplexity", found.perplexity)]
    facts += _perplexity(shown, "output_perplexity", found.output_perplexity)
    rows: list[list[Cell]] = [
        [
            short(name),
            number(score.value),
            score.better or "not said",
            shown.nulls.get(f"quality.scores.{name}", ""),
        ]
        for name, score in found.scores.items()
    ]
    if not (facts or rows):
        why = shown.nulls.get("quality.perplexity", "not_asked_for")
        text = f"Nobody looked at its answers: {why}."
        return Section(key=KEY, title=TITLE, missing=text)
    columns = ["score", "value", "better", "missing because"]
    told = "Scores that were found elsewhere and joined."
    return Section(
        key=KEY,
        title=TITLE,
        told=_RANDOM if found.synthetic else "",
        facts=facts,
        tables=[Table(told=told, columns=columns, rows=rows)] if rows else [],
    )


def _perplexity(
    shown: Shown, name: str, one: Perplexity | None
) -> Iterator[tuple[str, Cell]]:
    if one is None:
        return
    known = one.value is not None
    value = number(one.value) if known else shown.nulls.get(f"quality.{name}", "null")
    yield title(name), value
    over = f"{one.tokens} tokens"
    if one.requests is not None:
        over += f" of {one.requests} requests"
    if one.window_tokens is not None:
        over += f" of {short(one.text)}, read {one.window_tokens} at once"
    yield f"{title(name)} over", over
    yield f"{title(name)}: SHA-256", one.sha256
