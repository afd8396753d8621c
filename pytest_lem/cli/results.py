"""`lem results`: what is in a store."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pytest_lem.cli.app import app
from pytest_lem.cli.choosing import (
    DEFAULT_STORE,
    AsJson,
    Keys,
    Where,
    chosen_by_options,
    opened,
    refusing,
)
from pytest_lem.errors import ConfigError
from pytest_lem.store.wanted import Found, Wanted

if TYPE_CHECKING:
    from pytest_lem.store.store import Store

results = typer.Typer(
    help="What is in a store: .lem/results.db, LEM_STORE, or the one of --store.",
    no_args_is_help=True,
)
app.add_typer(results, name="results")


def width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size().columns


@results.command("list")
@chosen_by_options
def list_(
    *,
    wanted: Wanted,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    store: Where = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """List records, the newest first."""
    from pytest_lem.report.results import HEADLINES, listing

    wanted = replace(wanted, limit=limit)
    with opened(store) as there:
        found = there.find(wanted, list(HEADLINES))
    lines = listing(found, width())
    _tell(found, lines, as_json=as_json)


@results.command()
@chosen_by_options
def query(
    metrics: Annotated[list[str], typer.Argument(help="Names of metrics.")],
    *,
    wanted: Wanted,
    limit: Annotated[
        int | None, typer.Option(min=1, help="The newest so many; all if left out.")
    ] = None,
    store: Where = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Tell values of metrics, with intervals, record by record."""
    from pytest_lem.report.results import check_metrics, values

    wanted = replace(wanted, limit=limit)
    with refusing():
        check_metrics(metrics)
    with opened(store) as there:
        found = [one for one in there.find(wanted, metrics) if one.metrics]
    lines = values(found, metrics, width())
    _tell(found, lines, as_json=as_json)


@results.command()
def show(
    keys: Annotated[list[str], typer.Argument(help="Keys, or how they begin.")],
    *,
    store: Where = DEFAULT_STORE,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a report of each session.")
    ] = False,
) -> None:
    """Show records with all their metrics."""
    from pytest_lem.report.results import shown

    with opened(store) as there:
        for one in chosen(there, keys):
            (report,) = there.reports(Wanted(keys=[one.key]))
            whole = report.model_dump_json(indent=2)
            typer.echo(whole if as_json else "\n".join(shown(one, report, width())))


@results.command()
@chosen_by_options
def export(
    keys: Keys = None,
    *,
    json_folder: Annotated[
        Path | None,
        typer.Option("--json", metavar="DIR", help="A report of each session, to DIR."),
    ] = None,
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="One row a record, to FILE."),
    ] = None,
    wanted: Wanted,
    store: Where = DEFAULT_STORE,
) -> None:
    """Write records to files, as the sessions that measured them would have."""
    from pytest_lem.records.export import write_json, write_rows

    wanted = replace(wanted, keys=keys or ())
    with opened(store) as there:
        if json_folder is None and csv_file is None:
            raise ConfigError("export to what? write --json DIR, --csv FILE or both")
        reports = list(there.reports(wanted))
    if not reports:
        nothing()
    try:
        if json_folder is not None:
            json_folder.mkdir(exist_ok=True)
            from pytest_lem.store.rows import key_of

            for one in reports:
                key = key_of(one.session.model_dump(), one.experiments[0].id)
                write_json(one, json_folder / f"{one.session.id}-{key}.json")
        if csv_file is not None:
            write_rows(reports, csv_file)
    except OSError as error:
        typer.echo(f"not exported: {error}", err=True)
        raise typer.Exit(2) from error
    count = sum(len(one.experiments) for one in reports)
    typer.echo(f"{count} records of {len(reports)} sessions exported")


@results.command()
def delete(
    keys: Annotated[list[str], typer.Argument(help="Keys, or how they begin.")],
    *,
    store: Where = DEFAULT_STORE,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete records, and the files that only they needed."""
    with opened(store) as there:
        found = chosen(there, keys)
        for one in found:
            typer.echo(f"{one.key}  {one.experiment_id}")
        if not yes:
            typer.confirm(f"delete {len(found)} records?", abort=True)
        count = there.delete([one.key for one in found])
    typer.echo(f"{count} records deleted")


def chosen(store: "Store", keys: list[str]) -> list[Found]:
    """One record for each key; raises ConfigError where there is none or several."""
    all_ = []
    for key in keys:
        found = store.find(Wanted(keys=[key]))
        if len(found) != 1:
            count = f"{len(found)} records begin" if found else "no record begins"
            raise ConfigError(f"{count} with {key!r}: `lem results list` has the keys")
        all_ += found
    return all_


def _tell(found: list[Found], lines: list[str], *, as_json: bool) -> None:
    from pytest_lem.report.results import as_json as of_one

    if not found:
        nothing()
    told = [json.dumps(of_one(one)) for one in found] if as_json else lines
    with refusing():
        for line in told:
            typer.echo(line)


def nothing() -> None:
    """End the command, for there is nothing to tell."""
    typer.echo("no records there that are wanted", err=True)
    raise typer.Exit(1)
