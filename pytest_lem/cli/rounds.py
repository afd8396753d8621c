"""What the commands that run pytest again and again have in common."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pytest_lem.errors import ConfigError
from pytest_lem.spec.demands import DEFAULT_LIMIT

if TYPE_CHECKING:
    from pytest_lem.rounds.checkout import Source
    from pytest_lem.rounds.series import Series

_INTERRUPTED = 130
# What pytest writes by itself, and its plugins that come with this one.
_OTHERS = ("--junitxml", "--junit-xml", "--log-file", "--benchmark-json")


def outputs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The options among pytest's arguments that each round would write anew for.

    Those that name a file, a folder of files that are called alike in each session, or
    a label; each with its value.
    """
    from pytest_lem.front.options.results import FOLDERS, REPORTS

    ours = {f"--lem-{name}" for name in (*REPORTS, *FOLDERS, "save")}
    for part, following in zip(arguments, [*arguments[1:], ""], strict=True):
        option, equals, value = part.partition("=")
        if option in ours or option in _OTHERS:
            yield option, value if equals else following


def begun_series(
    kind: str,
    resume: Path | None,
    new: "Callable[[], Series]",
    *,
    given: Sequence[object],
) -> "Series":
    """A new series, or one that goes on; then nothing else may be `given`."""
    from pytest_lem.rounds.series import Series

    if resume is None:
        return new()
    if any(one is not None for one in given):
        raise ConfigError("--resume says all that is run: leave the rest out")
    series = Series.read(resume, kind)
    series.check()
    return series


def new_series(
    kind: str,
    sources: "Mapping[str, Source]",
    plan: Sequence[str],
    arguments: Sequence[str],
    out: Path | None,
    fail: Sequence[str] | None,
) -> "Series":
    """A series of which nothing has run yet; raises ConfigError where none can be."""
    from pytest_lem.rounds.checkout import changes
    from pytest_lem.rounds.series import Series

    for option, value in outputs(arguments):
        raise ConfigError(
            f"{option}={value}: leave it out, each round writes a report of its own"
        )
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
        fail=fail or [DEFAULT_LIMIT],
    )


def run_series(
    make: "Callable[[], Series]",
    judged: Callable[[Sequence[str]], bool],
    *,
    as_json: bool,
) -> "Series":
    """Run what is left of a series; what is wrong with it ends the command."""
    from pytest_lem.rounds.checkout import checked_out
    from pytest_lem.rounds.signals import interruptible

    def say(line: str) -> None:
        typer.echo(line, err=as_json)

    try:
        series = make()
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    try:
        series.write()
        with (
            interruptible(),
            checked_out([*series.sources.values()], series.start) as places,
        ):
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
