"""`lem migrate`: result files of another program as reports."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pytest_lem.cli.app import app
from pytest_lem.cli.choosing import opened, refusing
from pytest_lem.errors import ConfigError

if TYPE_CHECKING:
    from pytest_lem.records.record import Record


@app.command()
def migrate(
    files: Annotated[
        list[Path], typer.Argument(help="Results of LLenergyMeasure, schema 2 or 3.")
    ],
    *,
    json_folder: Annotated[
        Path | None,
        typer.Option("--json", metavar="DIR", help="Write a report of each to DIR."),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option("--store", metavar="URL", help="Put the records into a store."),
    ] = None,
) -> None:
    """Make reports of result files of LLenergyMeasure, each kept whole inside."""
    from pytest_lem.records.export import write_json

    with refusing():
        if json_folder is None and store is None:
            raise ConfigError("migrate to what? write --json DIR, --store URL or both")
        found = {file: _report(file) for file in files}
        targets = _targets(files, json_folder) if json_folder is not None else {}
    try:
        for file, target in targets.items():
            target.parent.mkdir(exist_ok=True)
            write_json(found[file], target)
    except OSError as error:
        typer.echo(f"not migrated: {error}", err=True)
        raise typer.Exit(2) from error
    if store is not None:
        with opened(store, create=True) as there:
            for report in found.values():
                there.put(report)
    for file, report in found.items():
        cycles = sum(len(one.cycles) for one in report.experiments)
        typer.echo(f"{file}: {len(report.experiments)} experiments, {cycles} cycles")


def _targets(files: list[Path], folder: Path) -> dict[Path, Path]:
    """Where each report goes: under the name of its file."""
    found: dict[Path, Path] = {}
    for file in files:
        target = folder / f"{file.stem}.json"
        if target in found.values() or target.resolve() == file.resolve():
            raise ConfigError(f"{file}: another file is at {target} already")
        found[file] = target
    return found


def _report(file: Path) -> "Record":
    from pytest_lem.records.migrate import migrate as migrated

    try:
        return migrated(json.loads(file.read_bytes()))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except ConfigError as error:
        raise ConfigError(f"{file}: {error.message}") from error
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{file} cannot be migrated: {reason}") from error
