"""Commands that run pytest again and again: two checkouts in turn, one suite."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pytest_lem.cli.app import app
from pytest_lem.errors import ConfigError

if TYPE_CHECKING:
    from pytest_lem.gate.verdict import Limit
    from pytest_lem.rounds.checkout import Source
    from pytest_lem.rounds.series import Series

_DEFAULT = "energy_per_output_token_j:5%"
_INTERRUPTED = 130
# What a round says itself.
_OURS = ("--lem-json", "--lem-save")

Fail = Annotated[
    list[str] | None,
    typer.Option(
        metavar="METRIC:N%",
        help="By how much a metric may become worse; repeatable "
        f"(default: {_DEFAULT}).",
    ),
]
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
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


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
    inconclusive: Annotated[
        Literal["pass", "fail"],
        typer.Option(help="What an inconclusive verdict does to the exit status."),
    ] = "pass",
    as_json: AsJson = False,
) -> None:
    """Run two checkouts in turn on this machine, and judge the second by the first.

    Exit status 1: a regression, something incomparable, or a round that failed.
    """
    from pytest_lem.gate.verdict import gate
    from pytest_lem.report.gate import lines
    from pytest_lem.rounds.turns import in_turn, turns

    def begun() -> "Series":
        from pytest_lem.rounds.checkout import source

        if base is None or head is None or not arguments:
            raise ConfigError("say two revisions and tests: BASE HEAD -- PYTEST_ARGS")
        here = Path.cwd()
        sources = {"base": source(base, here), "head": source(head, here)}
        return _new("ab", sources, turns(rounds), arguments, out)

    limits = _limits(fail)
    series = _run(
        lambda: _series("ab", resume, begun, given=[base, out]),
        in_turn,
        as_json=as_json,
    )
    found = gate(
        series.records("head"), series.records("base"), limits, allowed=allow or ()
    )
    told = [json.dumps(one.to_json()) for one in found]
    width = shutil.get_terminal_size().columns
    for line in told if as_json else lines(found, width) if found else ():
        typer.echo(line)
    bad = {"regression", "incomparable"}
    bad |= {"inconclusive"} if inconclusive == "fail" else set()
    if not found:
        typer.echo("no round of the head counts: nothing is judged", err=True)
    if series.failed or not found or any(one.verdict in bad for one in found):
        raise typer.Exit(1)


def _limits(fail: Sequence[str] | None) -> "list[Limit]":
    from pytest_lem.gate.verdict import Limit

    try:
        return [Limit.parse(text) for text in fail or [_DEFAULT]]
    except ConfigError as error:
        typer.echo(f"--fail: {error}", err=True)
        raise typer.Exit(2) from error


def _series(
    kind: str,
    resume: Path | None,
    begun: "Callable[[], Series]",
    *,
    given: Sequence[object],
) -> "Series":
    """A new series, or one that goes on."""
    from pytest_lem.rounds.series import Series

    if resume is None:
        return begun()
    if any(one is not None for one in given):
        raise ConfigError("--resume says all that is run: leave the rest out")
    series = Series.read(resume, kind)
    series.check()
    return series


def _new(
    kind: str,
    sources: "Mapping[str, Source]",
    plan: Sequence[str],
    arguments: Sequence[str],
    out: Path | None,
) -> "Series":
    from pytest_lem.rounds.checkout import changes
    from pytest_lem.rounds.series import Series

    for one in arguments:
        if one.partition("=")[0] in _OURS:
            raise ConfigError(f"{one}: leave it out, each round writes a report")
    changed = {
        side: changes(one.directory) if one.directory else None
        for side, one in sources.items()
    }
    if kind == "ab" and changed["base"]:
        raise ConfigError(
            f"BASE: {sources['base'].said} has changes that are not committed: a "
            "reference is to be found again; commit them, or name a revision"
        )
    folder = out or Path(".lem", kind, f"{datetime.now():%Y%m%dT%H%M%S}")
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty: --resume goes on with it")
    return Series(
        folder=folder.resolve(),
        kind=kind,
        start=Path.cwd(),
        arguments=arguments,
        plan=plan,
        sources=sources,
        changed=changed,
    )


def _run(
    make: "Callable[[], Series]",
    judged: Callable[[Sequence[str]], bool],
    *,
    as_json: bool,
) -> "Series":
    """Run what is left of a series; what is wrong with it ends the command."""
    from pytest_lem.rounds.checkout import checked_out
    from pytest_lem.rounds.running import interruptible

    def say(line: str) -> None:
        typer.echo(line, err=as_json)

    try:
        series = make()
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    try:
        with (
            interruptible(),
            checked_out([*series.sources.values()], series.start) as places,
        ):
            series.write()
            say(f"{len(series.plan)} rounds, reports and logs in {series.folder}")
            series.run(places, judged, say)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1 if series.done else 2) from error
    except KeyboardInterrupt:
        line = f"interrupted: `lem {series.kind} --resume {series.folder}` goes on"
        typer.echo(line, err=True)
        raise typer.Exit(_INTERRUPTED) from None
    return series
