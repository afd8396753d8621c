"""`lem quality`: how good the answers were whose cost is on record."""

from pathlib import Path
from typing import Annotated

import typer

from pytest_lem.cli.analysing import told
from pytest_lem.cli.app import app
from pytest_lem.cli.choosing import AsJson, CsvFile, refusing
from pytest_lem.cli.reading import read_report
from pytest_lem.cli.results import width
from pytest_lem.errors import ConfigError

quality = typer.Typer(
    help="How good the answers were whose cost is on record.", no_args_is_help=True
)
app.add_typer(quality, name="quality")

Report = Annotated[Path, typer.Argument(exists=True, dir_okay=False)]


@quality.command()
def join(
    report: Report,
    scores: Annotated[
        Path, typer.Argument(help="CSV or JSON, as --lem-quality-file takes it.")
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Write the report here, not in place."
        ),
    ] = None,
) -> None:
    """Join scores that were found elsewhere to a report."""
    from pytest_lem.records.export import write_json
    from pytest_lem.records.scores import names_of, read_scores, with_scores

    with refusing():
        found = read_scores(scores)
    record = read_report(report)
    try:
        write_json(with_scores(record, found), out or report)
    except OSError as error:
        typer.echo(f"not written: {error}", err=True)
        raise typer.Exit(2) from error
    lost = found.unknown(names_of(record))
    for name in lost:
        typer.echo(f"{scores}: no experiment {name!r} in {report}", err=True)
    names = ", ".join(found.better)
    typer.echo(
        f"{out or report}: {names} of {len(found.values) - len(lost)} experiments"
    )


@quality.command()
def agreement(
    report: Report,
    other: Annotated[
        Path | None,
        typer.Argument(
            exists=True, dir_okay=False, help="Without one, within the first."
        ),
    ] = None,
    *,
    as_json: AsJson = False,
    csv_file: CsvFile = None,
) -> None:
    """Tell how far experiments gave the same answers to equal prompts."""
    from pytest_lem.records.outputs import outputs_of
    from pytest_lem.report.agreement import lines, pairs

    with refusing():
        first = outputs_of(read_report(report), report)
        second = outputs_of(read_report(other), other) if other else None
        found = pairs(first, second)
        if not found:
            raise ConfigError(
                "no two experiments have answers to equal prompts: measure them with "
                "--lem-save-outputs, --lem-quality=perplexity beside it"
            )
    told(
        [one.to_json() for one in found],
        lines(found, width()),
        csv_file,
        as_json=as_json,
    )
