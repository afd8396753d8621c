"""Commands that hold reports against each other."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pytest_lem.cli.app import app
from pytest_lem.cli.choosing import DEFAULT_STORE, CsvFile, Where, refusing, write_csv
from pytest_lem.cli.judging import (
    AsJson,
    Fail,
    Inconclusive,
    bad,
    limits_of,
    tell,
)
from pytest_lem.cli.publishing import Annotate, Summary, publish
from pytest_lem.cli.reading import read_report
from pytest_lem.errors import ConfigError
from pytest_lem.spec.demands import DEFAULT_LIMIT
from pytest_lem.store.place import parse_place

if TYPE_CHECKING:
    from pytest_lem.gate.reference import Reference
    from pytest_lem.records.record import Record

_METRIC = "energy_per_output_token_j"


@app.command()
def compare(
    reports: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, help="One JSON report, or two."),
    ],
    *,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="What the experiments differ in: backend, precision, batch_size, "
            "vllm.enforce_eager, ... Without it each is held against itself in the "
            "second report.",
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option(metavar="METRIC", help="What is compared.")
    ] = _METRIC,
    as_json: AsJson = False,
    csv_file: CsvFile = None,
) -> None:
    """Hold experiments of equal work against each other; else tell what differs."""
    from pytest_lem.report import compare

    if len(reports) > 2:
        typer.echo(f"one report or two, not {len(reports)}", err=True)
        raise typer.Exit(2)
    if len(reports) == 1 and by is None:
        typer.echo("one report alone: give a second, or --by KEY", err=True)
        raise typer.Exit(2)
    try:
        found = compare.compare(_read(reports), by, metric)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    write_csv([one.to_row() for one in found], csv_file)
    told = [json.dumps(one.to_json()) for one in found]
    for line in told if as_json else compare.lines(found, _width()):
        typer.echo(line)
    refused = list(compare.refusals(found))
    if not found and by is None:
        refused = ["the reports have no experiment in common, by identity or by name"]
    elif not found:
        refused = [f"no two experiments there differ in their {by}"]
    for line in refused:
        typer.echo(line, err=True)
    if refused:
        raise typer.Exit(2)


@app.command()
def diff(
    first: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A JSON report.")
    ],
    second: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="Another.")
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Tell all in which two runs of an experiment differ, to explain why numbers do."""
    from pytest_lem.report import diff

    found = diff.diff(*_read([first, second]))
    for one in found:
        told = [json.dumps(one.to_json())] if as_json else diff.lines(one)
        for line in told:
            typer.echo(line)
    if not found:
        line = "the reports have no experiment in common, by identity or by name"
        typer.echo(line, err=True)
        raise typer.Exit(2)


@app.command()
def gate(
    reports: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, help="JSON reports of the run."),
    ],
    *,
    against: Annotated[
        list[str],
        typer.Option(
            metavar="REF",
            help="The reference: a report for each of its sessions, a label of the "
            "store, or last, its latest sessions; repeatable.",
        ),
    ],
    store: Where = DEFAULT_STORE,
    fail: Fail = None,
    noise: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="A report of a session in which nothing changed; repeatable. Three of "
            "them stand in for sessions that the reference is short of, before what "
            "lem aa stored of this machine.",
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            help="A key that may differ; reference lets there be none; repeatable.",
        ),
    ] = None,
    rule: Annotated[
        Literal["auto", "prediction", "interleaved"],
        typer.Option(
            help="Noise by the spread of the reference, by sessions that were run in "
            "turn, or in turn where they were."
        ),
    ] = "auto",
    inconclusive: Inconclusive = "pass",
    summary: Summary = None,
    annotate: Annotate = False,
    as_json: AsJson = False,
) -> None:
    """Judge a run by its reference; exit status 1 for regressions and the incomparable.

    Give several reports of either side where there are several sessions.
    """
    from pytest_lem.gate import verdict
    from pytest_lem.gate.limit import check_allowed
    from pytest_lem.gate.shelf import read_noise

    limits = limits_of(fail or [DEFAULT_LIMIT])
    with refusing("--allow"):
        check_allowed(allow or ())
    runs = _read(reports)
    with refusing():
        references = [_reference(name, store, runs) for name in against]
        stored = read_noise()
    reference = [record for one in references for record in one.records]
    found = verdict.gate(
        runs,
        reference,
        limits,
        quiet=_read(noise or []),
        stored=stored,
        allowed=allow or (),
        rule=rule,
    )
    tell(found, as_json=as_json)
    if not as_json and any(one.kind != "file" for one in references):
        typer.echo(f"reference: {', '.join(map(str, references))}")
    for name in verdict.unmatched(runs, reference):
        typer.echo(f"{name}: in the reference alone", err=True)
    if not found:
        typer.echo("no experiments in what was run", err=True)
    strict = inconclusive == "fail"
    publish(found, summary, annotate=annotate, strict=strict)
    if bad(found, strict=strict):
        raise typer.Exit(1)


def _reference(name: str, store: str, runs: "list[Record]") -> "Reference":
    from pytest_lem.gate.reference import read_reference

    run = [(one.id, one.identity) for record in runs for one in record.experiments]
    place = parse_place(store, Path.cwd())
    mine = {record.session.id for record in runs}
    try:
        return read_reference(name, root=Path.cwd(), place=place, run=run, without=mine)
    except ConfigError as error:
        raise ConfigError(f"--against={name}: {error.message}") from error


def _read(paths: list[Path]) -> "list[Record]":
    return [read_report(path) for path in paths]


def _width() -> int:
    return shutil.get_terminal_size().columns
