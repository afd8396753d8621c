"""The command itself: what all its parts are registered with."""

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
