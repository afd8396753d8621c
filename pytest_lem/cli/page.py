"""`lem report`: reports, or records of a store, as one HTML page."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pytest_lem.cli.app import app
from pytest_lem.cli.choosing import chosen_by_options, opened, refusing
from pytest_lem.cli.reading import read_report
from pytest_lem.cli.results import nothing
from pytest_lem.errors import ConfigError
from pytest_lem.store.wanted import Wanted

if TYPE_CHECKING:
    from pytest_lem.report.html.view import Source


@app.command()
@chosen_by_options
def report(
    reports: Annotated[
        list[Path] | None,
        typer.Argument(exists=True, dir_okay=False, metavar="[REPORT]..."),
    ] = None,
    *,
    wanted: Wanted,
    limit: Annotated[
        int, typer.Option(min=1, help="Of a store the newest so many.")
    ] = 1000,
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            envvar="LEM_STORE",
            metavar="URL",
            help="Records of a store in place of reports: a file of SQLite, or "
            "postgresql://USER@HOST/DATABASE.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The page to write.")
    ] = Path("lem-report.html"),
) -> None:
    """Write one HTML page of JSON reports, or of a store's records, to look at."""
    from pytest_lem.report.html.libraries import check_libraries

    with refusing():
        check_libraries()
        _check(reports or [], wanted, store)
    if reports:
        sources = list(_read(reports))
    else:
        sources = list(_stored(str(store), replace(wanted, limit=limit)))
    if not any(one.record.experiments for one in sources):
        nothing()
    _write(sources, output)


def _check(reports: list[Path], wanted: Wanted, store: str | None) -> None:
    """Raise ConfigError for what is given together and cannot be."""
    if not reports and store is None:
        raise ConfigError("a page of what? name JSON reports, or a store by --store")
    if reports and wanted != Wanted():
        raise ConfigError("records of a store can be chosen, those of reports cannot")


def _read(reports: list[Path]) -> "Iterator[Source]":
    from pytest_lem.report.html.view import Source

    for path in reports:
        yield Source(record=read_report(path), folder=path.parent)


def _stored(store: str, wanted: Wanted) -> "Iterator[Source]":
    from pytest_lem.report.html.view import Source

    with opened(store) as there:
        yield from (Source(record=one) for one in there.reports(wanted))


def _write(sources: "list[Source]", output: Path) -> None:
    from pytest_lem.report.html.page import write

    try:
        write(sources, output)
    except OSError as error:
        typer.echo(f"{output} cannot be written: {error.strerror}", err=True)
        raise typer.Exit(2) from error
    count = sum(len(one.record.experiments) for one in sources)
    typer.echo(f"{output}: {count} experiments, {len(sources)} reports")
