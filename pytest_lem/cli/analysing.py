"""Commands that look over many experiments at once: what is best, and what does it."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pytest_lem.analysis.metrics import HEADLINES
from pytest_lem.cli.app import app
from pytest_lem.cli.choosing import (
    DEFAULT_STORE,
    AsJson,
    CsvFile,
    Reports,
    Where,
    chosen_by_options,
    records_of,
    refusing,
    write_csv,
)
from pytest_lem.cli.results import nothing, width
from pytest_lem.store.wanted import Wanted

Metrics = Annotated[
    str | None,
    typer.Option(
        metavar="METRIC,...",
        help="What is explained (default: "
        "energy_per_output_token_j,output_throughput_tps).",
    ),
]


@app.command()
@chosen_by_options
def pareto(
    reports: Reports = None,
    *,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC,...",
            help="Two or more, scores of users too; METRIC:lower or :higher where no "
            "direction is known "
            "(default: energy_per_output_token_j,output_throughput_tps).",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="A front for each backend, model, precision, ..."
        ),
    ] = None,
    wanted: Wanted,
    store: Where = DEFAULT_STORE,
    as_json: AsJson = False,
    csv_file: CsvFile = None,
) -> None:
    """Tell which experiments no other beats in all metrics at once, and how surely."""
    from pytest_lem.report import pareto

    records = records_of(reports, wanted, store)
    with refusing("--metrics"):
        names = metrics.split(",") if metrics else HEADLINES
        axes = [pareto.Axis.parse(one, records) for one in names]
    with refusing():
        found = pareto.pareto(records, axes, by)
    lines = pareto.lines(found, width()) if found else []
    told([one.to_json() for one in found], lines, csv_file, as_json=as_json)


@app.command()
@chosen_by_options
def sensitivity(
    reports: Reports = None,
    *,
    metrics: Metrics = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Apart by backend, model, gpu, ..."),
    ] = None,
    logs: Annotated[
        bool, typer.Option("--log", help="Of logarithms: effects are factors then.")
    ] = False,
    wanted: Wanted,
    store: Where = DEFAULT_STORE,
    as_json: AsJson = False,
    csv_file: CsvFile = None,
) -> None:
    """Tell what drives a metric: shares of its variance by setting, and effects."""
    from pytest_lem.report import sensitivity

    names = _names(metrics)
    with refusing():
        records = records_of(reports, wanted, store)
        found = sensitivity.sensitivity(records, names, by, logs=logs)
    rows = [row for one in found for row in one.rows()]
    told(rows, sensitivity.lines(found, width()), csv_file, as_json=as_json)


@app.command()
@chosen_by_options
def correlate(
    reports: Reports = None,
    *,
    metrics: Metrics = None,
    pooled: Annotated[
        bool, typer.Option("--pooled", help="All backends together, with a warning.")
    ] = False,
    wanted: Wanted,
    store: Where = DEFAULT_STORE,
    as_json: AsJson = False,
    csv_file: CsvFile = None,
) -> None:
    """Tell which settings a metric rises or falls with, apart by backend."""
    from pytest_lem.report import correlation

    names, by = _names(metrics), None if pooled else "backend"
    records = records_of(reports, wanted, store)
    found = correlation.correlate(records, names, by)
    warning = correlation.pooled(records) if pooled else None
    if warning:
        typer.echo(warning, err=True)
    lines = correlation.lines(found, width())
    told([one.to_json() for one in found], lines, csv_file, as_json=as_json)


def _names(metrics: str | None) -> Sequence[str]:
    """Those of --metrics, else the headlines; ends the command where one is none."""
    from pytest_lem.report.results import check_metrics

    if metrics is None:
        return HEADLINES
    names = [one.strip() for one in metrics.split(",")]
    with refusing("--metrics"):
        check_metrics(names)
    return names


def told(
    found: Sequence[dict[str, Any]],
    lines: Iterable[str],
    csv_file: Path | None,
    *,
    as_json: bool,
) -> None:
    """Print the lines, or an object for each row; write the rows, if that is wanted."""
    if not found:
        nothing()
    write_csv(found, csv_file)
    with refusing():
        for line in [json.dumps(one) for one in found] if as_json else lines:
            typer.echo(line)
