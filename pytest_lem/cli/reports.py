"""Commands about what was written: reports and traces."""

import json
import shutil
from pathlib import Path
from typing import Annotated, Literal

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
def export(
    report: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A JSON report.")
    ],
    *,
    peer: Annotated[
        Literal["vllm", "aiperf", "guidellm", "mlperf"],
        typer.Option("--as", help="The tool whose formulas and names to use."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A file, instead of standard output."),
    ] = None,
    stamps: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Where the files of --lem-save-stamps are now, if they were moved.",
        ),
    ] = None,
    all_windows: Annotated[
        bool,
        typer.Option("--all", help="Windows without times of tokens too."),
    ] = False,
) -> None:
    """Tell stored times of requests as another tool would; one JSON object a window."""
    from pytest_lem.records.files import write_atomic
    from pytest_lem.report.peers import exported

    def place(path: str) -> Path:
        return stamps / Path(path).name if stamps else Path(path)

    try:
        found = exported(read_report(report), peer, place, everything=all_windows)
        lines = [json.dumps(one) for one in found]
        if output is not None:
            write_atomic(output, "".join(f"{line}\n" for line in lines))
    except (LemError, OSError) as error:
        typer.echo(f"{report}: {error}", err=True)
        raise typer.Exit(2) from error
    for line in lines if output is None else ():
        typer.echo(line)


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
