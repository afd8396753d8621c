"""How the commands on stored results are told which store, and which records."""

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pytest_lem.cli.reading import read_report
from pytest_lem.errors import ConfigError, LemError
from pytest_lem.store.opening import open_store
from pytest_lem.store.place import DEFAULT, parse_place
from pytest_lem.store.wanted import Wanted

if TYPE_CHECKING:
    from pytest_lem.records.record import Record
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
Reports = Annotated[
    list[Path] | None,
    typer.Argument(
        exists=True,
        dir_okay=False,
        metavar="[REPORT]...",
        help="JSON reports; without any, what the store has.",
    ),
]
CsvFile = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Also as a table, to FILE.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]

DEFAULT_STORE = DEFAULT

# What every command on several records may choose them by.
_CHOICES = {
    "identity": "Of the experiment, or how it begins.",
    "backend": "Records of this backend.",
    "model": "Records of this model.",
    "label": "Records with this label.",
    "session": "Of the session of this name.",
    "gpu": "Measured on this GPU.",
    "verdict": "Judged so: pass, regression, inconclusive, ...",
    "flag": "Flagged so.",
    "text": "Words of the experiment, model, backend or session.",
    "since": "Begun on this day or later, 2026-01-31[T12:00].",
    "until": "Begun on this day or before.",
}


def chosen_by_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command that is given, as `wanted`, the records its user chooses by options."""

    @wraps(command)
    def asked(**given: Any) -> None:
        choice = {name: given.pop(name) for name in _CHOICES}
        command(wanted=Wanted(**choice), **given)

    signature = inspect.signature(command)
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[str | None, typer.Option(help=help_)],
        )
        for name, help_ in _CHOICES.items()
    ]
    own = [one for name, one in signature.parameters.items() if name != "wanted"]
    first = [one for one in own if one.kind is not inspect.Parameter.KEYWORD_ONLY]
    rest = own[len(first) :]
    whole = signature.replace(parameters=[*first, *options, *rest])
    # Typer reads the signature of what it is given.
    asked.__signature__ = whole  # type: ignore[attr-defined]
    return asked


@contextmanager
def opened(where: str, *, create: bool = False) -> Iterator["Store"]:
    """The store; what is wrong with it, or is asked of it, ends the command."""
    with refusing():
        store = open_store(parse_place(where, Path.cwd()), create=create)
        try:
            yield store
        finally:
            store.close()


def records_of(
    reports: Sequence[Path] | None, wanted: Wanted, where: str
) -> "list[Record]":
    """The reports that are named, or those that are wanted of a store."""
    if reports and wanted != Wanted():
        with refusing():
            raise ConfigError(
                "reports are taken whole: --backend and such are of --store"
            )
    if reports:
        return [read_report(path) for path in reports]
    with opened(where) as there:
        return list(there.reports(wanted))


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path | None) -> None:
    """Write what was found as a table, where a file is named for it."""
    from pytest_lem.records.export import write_table

    if path is None:
        return
    try:
        write_table(rows, path)
    except OSError as error:
        typer.echo(f"not written: {error}", err=True)
        raise typer.Exit(2) from error


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
