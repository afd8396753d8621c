"""Commands that run pytest again and again: two checkouts in turn, one suite."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pytest_lem.cli.app import app
from pytest_lem.cli.choosing import refusing
from pytest_lem.cli.judging import AsJson, Fail, Inconclusive, bad, limits_of, tell
from pytest_lem.cli.publishing import Annotate, Summary, publish
from pytest_lem.cli.rounds import begun_series, new_series, run_series
from pytest_lem.errors import ConfigError

if TYPE_CHECKING:
    from pytest_lem.gate.lending import Stored
    from pytest_lem.rounds.series import Series

Out = Annotated[
    Path | None,
    typer.Option(
        file_okay=False,
        help="Where reports and logs go, a new directory (default: one below .lem).",
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        file_okay=False, help="Go on with what was interrupted, by its directory."
    ),
]


@app.command()
def ab(
    base: Annotated[
        str | None, typer.Argument(help="A revision, or a directory: ./NAME.")
    ] = None,
    head: Annotated[
        str | None,
        typer.Argument(help="Another; `.` is the working tree as it stands."),
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- PYTEST_ARGS...", help="What pytest is given."),
    ] = None,
    *,
    rounds: Annotated[int, typer.Option(min=3, help="Sessions of each of both.")] = 5,
    fail: Fail = None,
    out: Out = None,
    resume: Resume = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="A key that may differ; repeatable."),
    ] = None,
    inconclusive: Inconclusive = "pass",
    summary: Summary = None,
    annotate: Annotate = False,
    as_json: AsJson = False,
) -> None:
    """Run two checkouts in turn on this machine, and judge the second by the first.

    Exit status 1: a regression, something incomparable, or a round that failed.
    """
    from pytest_lem.gate.limit import check_allowed
    from pytest_lem.gate.verdict import gate
    from pytest_lem.rounds.turns import in_turn, turns

    def begun() -> "Series":
        from pytest_lem.rounds.checkout import source

        if base is None or head is None or not arguments:
            raise ConfigError("say two revisions and tests: BASE HEAD -- PYTEST_ARGS")
        here = Path.cwd()
        sources = {"base": source(base, here), "head": source(head, here)}
        return new_series("ab", sources, turns(rounds), arguments, out, fail)

    limits_of(fail or [])
    with refusing("--allow"):
        check_allowed(allow or ())
    series = run_series(
        lambda: begun_series("ab", resume, begun, given=[base, out]),
        in_turn,
        as_json=as_json,
    )
    limits = limits_of(fail or series.fail)
    found = gate(
        series.records("head"), series.records("base"), limits, allowed=allow or ()
    )
    tell(found, as_json=as_json)
    if not found:
        typer.echo("no round of the head counts: nothing is judged", err=True)
    strict = inconclusive == "fail"
    publish(found, summary, annotate=annotate, strict=strict)
    if series.failed or bad(found, strict=strict):
        raise typer.Exit(1)


@app.command()
def aa(
    sessions: Annotated[
        int | None,
        typer.Argument(metavar="N", min=3, help="How many sessions; 10 tell much."),
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- PYTEST_ARGS...", help="What pytest is given."),
    ] = None,
    *,
    fail: Fail = None,
    out: Out = None,
    resume: Resume = None,
    store: Annotated[
        bool,
        typer.Option(help="Whether the gate is to find the noise of this machine."),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Run an unchanged suite N times: this machine's noise, and the false alarms.

    Exit status 1: a round that failed.
    """
    from pytest_lem.gate.quiet import quiet
    from pytest_lem.records.files import write_atomic
    from pytest_lem.report.quiet import lines
    from pytest_lem.rounds.turns import enough

    def begun() -> "Series":
        from pytest_lem.rounds.checkout import source

        if sessions is None or not arguments:
            raise ConfigError("say how many sessions, and tests: N -- PYTEST_ARGS")
        sources = {"suite": source(".", Path.cwd())}
        return new_series("aa", sources, ["suite"] * sessions, arguments, out, fail)

    limits_of(fail or [])
    series = run_series(
        lambda: begun_series("aa", resume, begun, given=[sessions, out]),
        enough,
        as_json=as_json,
    )
    suite = quiet(series.records("suite"), limits_of(fail or series.fail))
    told = [json.dumps(one.to_json()) for one in suite.found]
    write_atomic(series.folder / "aa.json", json.dumps(suite.to_json(), indent=1))
    width = shutil.get_terminal_size().columns
    for line in told if as_json else lines(suite, width) if suite.found else ():
        typer.echo(line)
    if store and suite.stored:
        typer.echo(f"the gate finds this noise in {_stored(suite.stored)}", err=as_json)
    if series.failed or not suite.found:
        raise typer.Exit(1)


def _stored(found: "Sequence[Stored]") -> Path:
    from pytest_lem.gate.shelf import store_noise

    try:
        return store_noise(found)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
