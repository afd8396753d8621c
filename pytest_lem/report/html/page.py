"""Records as one HTML file that needs nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pytest_lem.records.files import write_atomic
from pytest_lem.records.record import Record
from pytest_lem.report.html import assets
from pytest_lem.report.html.charts.all import charts
from pytest_lem.report.html.charts.figure import Chart
from pytest_lem.report.html.overview import overview
from pytest_lem.report.html.packing import FEWER_DIGITS, pack, packed
from pytest_lem.report.html.table import columns, facets, row, values
from pytest_lem.report.html.view import Shown, Source, experiments
from pytest_lem.report.html.words import half_width, number, several, short

TITLE = "What inference cost"


def environment() -> Environment:
    """The templates, which escape all that they are given."""
    found = Environment(
        loader=PackageLoader("pytest_lem.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"short": short, "number": number}
    found.globals |= {"half_width": half_width, "several": several}
    return found


def render(sources: Sequence[Source], *, heading: str = TITLE) -> str:
    """The page of reports, whole: styles, scripts and records are in it."""
    shown = experiments(sources)
    scripts, library = assets.scripts(), assets.plotly()
    template = environment().get_template("report.html")
    told = context(shown, heading=heading)
    return template.render(
        **told | {"data": pack(told["data"])},
        styles=[one.text for one in assets.styles()],
        scripts=[one.text for one in scripts],
        script_sources=" ".join(one.source for one in [*scripts, library]),
        library=pack(assets.as_json(library.text)),
        packed=packed(shown),
    )


def context(shown: Sequence[Shown], *, heading: str = TITLE) -> dict[str, Any]:
    """What the templates show of experiments, however assets come."""
    drawn = charts(shown)
    told = [_drawn(one) for one in drawn if one.drawn]
    narrowed = facets(shown)
    data = {
        "charts": told,
        "anchors": [one.anchor for one in shown],
        "facets": {one.key: [values(it, one.key) for it in shown] for one in narrowed},
    }
    return {
        "heading": heading,
        "overview": overview(shown),
        "shown": shown,
        "charts": drawn,
        "columns": columns(shown),
        "facets": narrowed,
        "row": row,
        "data": assets.as_json(data),
    }


def _drawn(chart: Chart) -> dict[str, Any]:
    """The chart, whose table has all digits of what is drawn with fewer."""
    told = chart.to_json()
    return told | {"data": assets.plain(told["data"], FEWER_DIGITS)}


def write(sources: Sequence[Source], path: Path) -> None:
    """Write the page of reports."""
    write_atomic(path, render(sources))


def write_report(record: Record, path: Path) -> None:
    """Write the page of one report, whose paths begin at the page's folder."""
    write([Source(record=record, folder=path.parent)], path)
