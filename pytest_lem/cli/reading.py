"""Reading what a command is given."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pytest_lem.records.record import Record


def read_report(path: Path) -> "Record":
    """The record of a report; ends the command with a line where it is none."""
    from pytest_lem.records.export import read_json

    try:
        return read_json(path)
    except ValueError as error:
        reason = str(error).splitlines()[1].strip()
        typer.echo(f"{path} is no report of pytest-lem: {reason}", err=True)
        raise typer.Exit(2) from error
