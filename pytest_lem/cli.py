"""The `lem` command."""

import json
from typing import Annotated

import typer

import pytest_lem

app = typer.Typer(
    name="lem",
    help="Around `pytest --lem-...`: what the plugin knows and writes.",
    no_args_is_help=True,
    add_completion=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pytest-lem {pytest_lem.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command()
def schema() -> None:
    """Print the JSON Schema of a report."""
    from pytest_lem.records.schema import text

    typer.echo(text(), nl=False)


@app.command()
def models() -> None:
    """List the models that need no download, for `--lem-model`."""
    from pytest_lem.workload.models import synthetic_names

    for name in synthetic_names():
        typer.echo(f"synthetic:{name}")


@app.command()
def meters(
    *,
    seconds: Annotated[
        float, typer.Option(min=1.0, help="How long to try each meter.")
    ] = 3.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line.")
    ] = False,
) -> None:
    """Try what this machine can measure energy with, and say why not."""
    from pytest_lem.machine.gpu import discover
    from pytest_lem.meters.survey import survey
    from pytest_lem.report.meters import lines

    found = survey(discover(), seconds=seconds)
    told = [json.dumps(one.to_json()) for one in found] if as_json else lines(found)
    for line in told:
        typer.echo(line)


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
