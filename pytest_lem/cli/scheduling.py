"""`lem schedule`: pytest in rounds, at the times of a timetable."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from pytest_lem.cli.app import app
from pytest_lem.cli.rounds import outputs
from pytest_lem.errors import ConfigError
from pytest_lem.rounds.signals import interruptible
from pytest_lem.schedule.times import Timetable, duration, time_of_day, weekdays

LATE = timedelta(seconds=60)
_LOOK_S = 20.0  # clocks are set, and machines sleep, while somebody waits
_PLACE = "{round}"
_INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """What each round runs, and what it is called."""

    arguments: Sequence[str]
    reports: Path
    label: str
    store: bool

    def command(self, name: str) -> list[str]:
        """The command of the round of that name."""
        given = [one.replace(_PLACE, name) for one in self.arguments]
        if not _says(given, "--lem-json"):
            given.append(f"--lem-json={self.reports / f'{name}.json'}")
        if self.store and not _says(given, "--lem-save"):
            given.append(f"--lem-save={name}")
        return [sys.executable, "-m", "pytest", *given]

    def name(self, due: datetime) -> str:
        """What the round of a moment is called: in UTC, where no time comes twice."""
        return f"{self.label}-{due.astimezone(UTC):%Y%m%dT%H%M%SZ}"


@app.command()
def schedule(
    arguments: Annotated[
        list[str],
        typer.Argument(
            help="What pytest is given in each round; {round} in it is the round's "
            "name.",
            metavar="-- ARGUMENTS",
        ),
    ],
    *,
    at: Annotated[
        str | None, typer.Option(help="Time of day of the first round: HH:MM.")
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(help="From one round to the next: 6h, 90m, 1d. With --at 1d."),
    ] = None,
    lasting: Annotated[
        str | None,
        typer.Option("--for", help="Begin no round after this time: 3d. For ever."),
    ] = None,
    days: Annotated[
        str, typer.Option(help="Days that rounds begin on: mon-fri,sun.")
    ] = "mon-sun",
    zone: Annotated[
        str | None, typer.Option(help="Time zone, as Europe/Berlin. This machine's.")
    ] = None,
    reports: Annotated[
        Path, typer.Option(help="Directory for a report of each round.")
    ] = Path("lem-rounds"),
    label: Annotated[
        str, typer.Option(help="What the names of rounds begin with.")
    ] = "round",
    store: Annotated[
        bool, typer.Option(help="Whether rounds are labelled in the store.")
    ] = True,
) -> None:
    """Run pytest at set times, each round with a report and a label of its own."""
    rounds = Rounds(arguments=arguments, reports=reports, label=label, store=store)
    try:
        place = zone_of(zone)
        table = Timetable(
            begins=datetime.now(UTC),
            zone=place,
            at=time_of_day(at) if at else None,
            every=duration(every) if every else None,
            lasting=duration(lasting) if lasting else None,
            days=weekdays(days),
        )
        first = _checked(table, rounds)
    except ConfigError as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(2) from error
    with interruptible():
        raise typer.Exit(_keep(table, first, rounds, place))


def zone_of(name: str | None) -> tzinfo:
    """The time zone of that name, or of this machine; raises ConfigError for others."""
    name = name or os.environ.get("TZ", "").removeprefix(":") or None
    local = Path("/etc/localtime")
    try:
        if name is not None:
            return ZoneInfo(name)
        if not local.exists():
            return UTC
        with local.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (KeyError, OSError, ValueError) as error:
        raise ConfigError(
            f"{name or local}: is no time zone; name one by --zone, as Europe/Berlin"
        ) from error


def _says(arguments: Sequence[str], option: str) -> bool:
    return any(one == option or one.startswith(f"{option}=") for one in arguments)


def _checked(table: Timetable, rounds: Rounds) -> datetime:
    """The first moment, after all that can be refused now is; raises ConfigError."""
    if table.at is None and table.every is None:
        raise ConfigError("say --at HH:MM, --every 6h, or both")
    _refuse_overwriting(rounds.arguments)
    first = table.first()
    if first is None:
        raise ConfigError("no round would begin within --for on one of --days")
    try:
        rounds.reports.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--reports {rounds.reports}: {error.strerror}") from error
    command = [*rounds.command(rounds.name(first)), "--collect-only", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        raise ConfigError(f"pytest would not run: {' '.join(command[1:-2])}\n{said}")
    return first


def _refuse_overwriting(arguments: Sequence[str]) -> None:
    """Raise ConfigError where each round would write over the one before."""
    for option, value in outputs(arguments):
        if _PLACE not in value:
            raise ConfigError(
                f"{option}: each round would write over the one before; put {_PLACE} "
                "into its value, or leave it out"
            )


def _keep(table: Timetable, first: datetime, rounds: Rounds, zone: tzinfo) -> int:
    """Run the rounds as they come due; the exit status of the command."""
    due: datetime | None = first
    failed = done = 0
    while due is not None:
        typer.echo(f"next round: {_told(due, zone)}")
        try:
            _wait(due)
        except KeyboardInterrupt:
            return _INTERRUPTED
        if datetime.now(UTC) - due > LATE:
            typer.echo(f"missed: {_told(due, zone)}; it is not run later")
        else:
            name = rounds.name(due)
            status, interrupted = _play(rounds.command(name))
            done, failed = done + 1, failed + bool(status)
            typer.echo(f"{name}: pytest ended with status {status}")
            if interrupted:
                return _INTERRUPTED
        due = table.after(max(datetime.now(UTC), due))
    typer.echo(f"{done} rounds, {failed} of them failed")
    return 1 if failed else 0


def _told(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M:%S %Z}"


def _wait(due: datetime) -> None:
    while (left_s := (due - datetime.now(UTC)).total_seconds()) > 0:
        time.sleep(min(left_s, _LOOK_S))


def _play(command: Sequence[str]) -> tuple[int, bool]:
    """Run one round: its exit status, and whether somebody interrupted.

    It has a process group of its own, since a terminal's Ctrl-C would else reach it
    twice: from there and from here, which is its order to stop at once.
    """
    interrupted = False
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0) as child:
        while True:
            try:
                return child.wait(), interrupted
            except KeyboardInterrupt:
                interrupted = True
                child.send_signal(signal.SIGINT)
