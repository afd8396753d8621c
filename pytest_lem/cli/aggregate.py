"""`lem aggregate`: what processes wrote of their runs, as one report."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from pytest_lem.cli.app import app
from pytest_lem.cli.choosing import refusing


class _Told(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(record.getMessage(), err=True)


@app.command()
def aggregate(
    folder: Annotated[
        Path,
        typer.Argument(
            exists=True, file_okay=False, help="A session's folder of --lem-save-raw."
        ),
    ],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The report to write.")
    ],
    allow_partial: Annotated[
        bool,
        typer.Option(help="Take what is whole; gates refuse what comes of it."),
    ] = False,
    allow_mixed_backends: Annotated[
        bool,
        typer.Option(help="Take processes of several backends; gates refuse them."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell each check.")
    ] = False,
) -> None:
    """Make one report of what each process did: sums, and times over all of them."""
    from pytest_lem.records.export import write_json
    from pytest_lem.records.raw.aggregate import aggregate as joined

    log = logging.getLogger("pytest_lem.records.raw")
    if verbose:
        log.addHandler(_Told())
        log.setLevel(logging.INFO)
    with refusing():
        record = joined(folder, partial=allow_partial, mixed=allow_mixed_backends)
    try:
        write_json(record, output)
    except OSError as error:
        typer.echo(f"{output} cannot be written: {error.strerror}", err=True)
        raise typer.Exit(2) from error
    cycles = [cycle for one in record.experiments for cycle in one.cycles]
    told = [cycle.aggregation or {} for cycle in cycles]
    processes = sum(one["processes"] for one in told)
    line = f"{output}: {len(record.experiments)} experiments, {len(cycles)} cycles"
    line += f", {processes} processes"
    typer.echo(line + (" (partial)" if any(one["partial"] for one in told) else ""))
