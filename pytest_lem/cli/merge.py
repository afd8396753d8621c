"""`lem merge`: reports and stores of several machines in one store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pytest_lem.cli.app import app
from pytest_lem.cli.choosing import DEFAULT_STORE, Where, opened
from pytest_lem.cli.reading import read_report
from pytest_lem.store.opening import open_store
from pytest_lem.store.place import parse_place

if TYPE_CHECKING:
    from pytest_lem.store.store import Store, Tally

_SQLITE = b"SQLite format 3\0"


@app.command()
def merge(
    sources: Annotated[
        list[str],
        typer.Argument(help="JSON reports, and stores: files or URLs.", metavar="FROM"),
    ],
    *,
    store: Where = DEFAULT_STORE,
) -> None:
    """Put reports and other stores into one store; what is there already stays one."""
    with opened(store, create=True) as there:
        for source in sources:
            tally = _merge(source, there)
            told = f"{tally.added} records added"
            told += f", {tally.replaced} replaced" if tally.replaced else ""
            told += f", {tally.known} known already" if tally.known else ""
            typer.echo(f"{source}: {told}")


def _merge(source: str, there: "Store") -> "Tally":
    """Put one report in, or all of another store with its labels."""
    from pytest_lem.store.store import Tally
    from pytest_lem.store.wanted import Wanted

    if "://" not in source and not _is_database(Path(source)):
        return there.put(read_report(Path(source)))
    tally = Tally()
    labelled: dict[str, list[str]] = {}
    other = open_store(parse_place(source, Path.cwd()))
    try:
        for report in other.reports(Wanted()):
            tally += there.put(report)
        for one in other.find(Wanted()):
            for label in one.labels:
                labelled.setdefault(label, []).append(one.key)
    finally:
        other.close()
    for label, keys in labelled.items():
        there.label(keys, label)
    return tally


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError as error:
        typer.echo(f"{path} cannot be read: {error.strerror}", err=True)
        raise typer.Exit(2) from error
