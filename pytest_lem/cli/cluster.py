"""`lem cluster`: what a Ray cluster can measure."""

import json
from typing import Annotated

import typer

from pytest_lem.cli.app import app
from pytest_lem.errors import LemError


@app.command()
def cluster(
    address: Annotated[
        str,
        typer.Argument(
            help="HOST:PORT of Ray's head, or ray://HOST:PORT of its client server; "
            "left out, RAY_ADDRESS or the cluster that this machine is part of."
        ),
    ] = "auto",
    *,
    meter: Annotated[
        str | None,
        typer.Option(help="Names as of --lem-meter; all built-in meters if left out."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.5, help="How long to try each meter.")
    ] = 1.5,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object.")
    ] = False,
) -> None:
    """Tell what every node of a Ray cluster can measure, what is free, what differs.

    The status is 1 where a node does not answer or has other versions.
    """
    from pytest_lem.cluster.facts import look_up
    from pytest_lem.meters.registry import check_names
    from pytest_lem.meters.survey import METERS
    from pytest_lem.report.cluster import lines

    names = meter.split(",") if meter else METERS
    try:
        check_names(names)
        found = look_up(address, meters=names, seconds=seconds)
    except LemError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    told = [json.dumps(found.to_json())] if as_json else lines(found)
    for line in told:
        typer.echo(line)
    if found.problems:
        raise typer.Exit(1)
