"""How the commands on stored results are told which store, and which records."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pytest_lem.errors import LemError
from pytest_lem.store.opening import open_store
from pytest_lem.store.place import DEFAULT, parse_place

if TYPE_CHECKING:
    from pytest_lem.store.store import Store

Where = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="LEM_STORE",
        metavar="URL",
        help="A file of SQLite, or postgresql://USER@HOST/DATABASE.",
    ),
]
Keys = Annotated[
    list[str] | None,
    typer.Argument(help="Keys of records, or how they begin.", metavar="[KEY]..."),
]
Identity = Annotated[
    str | None, typer.Option(help="Of the experiment, or how it begins.")
]
Backend = Annotated[str | None, typer.Option(help="Records of this backend.")]
Model = Annotated[str | None, typer.Option(help="Records of this model.")]
Label = Annotated[str | None, typer.Option(help="Records with this label.")]
Since = Annotated[
    str | None, typer.Option(help="Begun on this day or later, 2026-01-31[T12:00].")
]
Until = Annotated[str | None, typer.Option(help="Begun on this day or before.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]

DEFAULT_STORE = DEFAULT


@contextmanager
def opened(where: str, *, create: bool = False) -> Iterator["Store"]:
    """The store; what is wrong with it, or is asked of it, ends the command."""
    with refusing():
        store = open_store(parse_place(where, Path.cwd()), create=create)
        try:
            yield store
        finally:
            store.close()


@contextmanager
def refusing(option: str = "") -> Iterator[None]:
    """Errors as a line on standard error and exit status 2; `option` was to blame."""
    try:
        yield
    except BrokenPipeError:
        os._exit(0)  # who read the list has seen enough of it
    except LemError as error:
        typer.echo(f"{option}: {error}" if option else str(error), err=True)
        raise typer.Exit(2) from error
