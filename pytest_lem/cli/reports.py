"""Commands about what was written: reports and traces."""

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer

from pytest_lem.cli.app import app
from pytest_lem.cli.reading import read_report
from pytest_lem.errors import LemError


@app.command()
def schema() -> None:
    """Print the JSON Schema of a report."""
    from pytest_lem.records.schema import text

    typer.echo(text(), nl=False)


@app.command()
def phases(
    report: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A JSON report.")
    ],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line.")
    ] = False,
) -> None:
    """Fit J = fixed + b x tokens in + c x tokens out; print measured phases beside."""
    from pytest_lem.report.phases import lines, phases

    for found in phases(read_report(report)):
        told = [json.dumps(found.to_json())] if as_json else lines(found)
        typer.echo("\n".join(told))


@app.command()
def trace(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A recorded trace.")
    ],
    *,
    windows: Annotated[
        typer.FileText | None,
        typer.Option(
            encoding="utf-8",
            errors="replace",
            help="JSON lines, [start_s, end_s] or objects; `-` is standard input.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line.")
    ] = False,
) -> None:
    """Tell the energy of the marks of a trace, or of other spans of it, anew."""
    from pytest_lem.meters.trace import read_trace
    from pytest_lem.report.trace import recounted, spans, table

    try:
        told = read_trace(file)
        marks = told.marks if windows is None else spans(windows, windows.name)
    except LemError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    found = list(recounted(told, marks))
    if as_json:
        for one in found:
            typer.echo(json.dumps(one.to_json()))
    else:
        typer.echo(table(found, max(shutil.get_terminal_size().columns, 100)))
