"""How commands that judge are told limits, and tell verdicts."""

import json
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pytest_lem.cli.choosing import refusing
from pytest_lem.spec.demands import DEFAULT_LIMIT

if TYPE_CHECKING:
    from pytest_lem.gate.limit import Limit
    from pytest_lem.gate.verdict import Finding


Fail = Annotated[
    list[str] | None,
    typer.Option(
        metavar="METRIC:N%",
        help="By how much a metric may become worse; repeatable "
        f"(default: {DEFAULT_LIMIT}).",
    ),
]
Inconclusive = Annotated[
    Literal["pass", "fail"],
    typer.Option(help="What an inconclusive verdict does to the exit status."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


def limits_of(fail: Sequence[str]) -> "list[Limit]":
    """Those of --fail; ends the command where one is none."""
    from pytest_lem.gate.limit import Limit

    with refusing("--fail"):
        return [Limit.parse(text) for text in fail]


def tell(found: "Sequence[Finding]", *, as_json: bool) -> None:
    """Print the table of verdicts, or an object for each."""
    from pytest_lem.report.gate import lines

    told = [json.dumps(one.to_json()) for one in found]
    width = shutil.get_terminal_size().columns
    for line in told if as_json else lines(found, width) if found else ():
        typer.echo(line)


def bad(found: "Sequence[Finding]", *, strict: bool) -> bool:
    """Whether exit status 1 is due: for nothing judged, too."""
    verdicts = {"regression", "incomparable", *(["inconclusive"] * strict)}
    return not found or any(one.verdict in verdicts for one in found)
