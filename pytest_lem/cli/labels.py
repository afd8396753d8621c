"""`lem results labels` and `label`: what records are called."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from pytest_lem.cli.choosing import DEFAULT_STORE, AsJson, Where, opened
from pytest_lem.cli.results import chosen, nothing, results, width
from pytest_lem.errors import ConfigError


@results.command()
def labels(*, store: Where = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """List labels, with how many sessions and records have each."""
    from pytest_lem.report.results import named

    with opened(store) as there:
        found = there.labels()
    if not found:
        nothing()
    told = [json.dumps(asdict(one)) for one in found]
    for line in told if as_json else named(found, width()):
        typer.echo(line)


@results.command()
def label(
    name: Annotated[str, typer.Argument(metavar="LABEL")],
    keys: Annotated[list[str], typer.Argument(help="Keys, or how they begin.")],
    *,
    store: Where = DEFAULT_STORE,
) -> None:
    """Label records, whatever became of their cycles."""
    from pytest_lem.front.options.values import label as valid

    with opened(store) as there:
        try:
            name = valid(name)
        except ValueError as error:
            raise ConfigError(f"{name!r} {error}") from None
        found = chosen(there, keys)
        there.label([one.key for one in found], name)
    typer.echo(f"{len(found)} records labelled {name}")
