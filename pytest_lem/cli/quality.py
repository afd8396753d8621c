"""`lem quality`: how good the answers were whose cost is on record."""

from pathlib import Path
from typing import Annotated

import typer

from pytest_lem.cli.app import app
from pytest_lem.cli.choosing import refusing
from pytest_lem.cli.reading import read_report

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
