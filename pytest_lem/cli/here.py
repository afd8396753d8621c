"""Commands about what is here: meters, machine, engines."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from pytest_lem.cli.app import app
from pytest_lem.errors import ConfigError, LemError, MeterError

if TYPE_CHECKING:
    from pytest_lem.worker.exercise import Exercise

_EXERCISE = "pytest_lem.engines.transformers.exercise"


@app.command()
def meters(
    *,
    meter: Annotated[
        str | None,
        typer.Option(help="Names as of --lem-meter; all built-in meters if left out."),
    ] = None,
    self_check: Annotated[
        bool,
        typer.Option(
            "--self-check",
            help="Also hold counters against power samples, at rest and under load, "
            "and tell what sampling costs. Loads the GPUs.",
        ),
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=1.0, help="How long to try each meter (3, with a self-check 20)."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line.")
    ] = False,
) -> None:
    """Try what this machine can measure energy with, and say why not."""
    from pytest_lem.machine.gpu import discover
    from pytest_lem.machine.locks import GpuLocks
    from pytest_lem.meters.survey import METERS, survey
    from pytest_lem.report.meters import lines

    names = meter.split(",") if meter else METERS
    gpus = discover()
    locks = GpuLocks()
    try:
        if self_check:
            locks.take([gpu.uuid for gpu in gpus], session="lem meters")
        with _work([gpu.uuid for gpu in gpus], wanted=self_check) as work:
            long_s = seconds or (20.0 if self_check else 3.0)
            for one in survey(names, gpus, seconds=long_s, work=work):
                told = [json.dumps(one.to_json())] if as_json else lines(one)
                typer.echo("\n".join(told))
    except LemError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    finally:
        locks.release()


@contextmanager
def _work(gpus: Sequence[str], *, wanted: bool) -> Iterator["Exercise | str | None"]:
    """Work for a self-check, or why there is none; None where none is wanted."""
    from pytest_lem.worker.exercise import Exercise

    if not wanted:
        yield None
        return
    try:
        exercise = Exercise(_EXERCISE, gpus)
    except (ConfigError, MeterError) as error:
        yield error.message
        return
    with exercise:
        yield exercise


@app.command()
def matrix(
    *,
    python: Annotated[
        list[str] | None,
        typer.Option(help="BACKEND=PATH: the Python that has this engine; repeatable."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line.")
    ] = False,
) -> None:
    """Tell what each engine can do, looked up in those that are installed."""
    from pytest_lem.engines.matrix import matrix
    from pytest_lem.machine.gpu import discover
    from pytest_lem.report.matrix import lines

    try:
        columns = list(matrix(python or ()))
    except LemError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    gpus = [one.name for one in discover()]
    told = [json.dumps(one.to_json()) for one in columns]
    for line in told if as_json else lines(columns, gpus):
        typer.echo(line)


@app.command()
def doctor(
    *,
    python: Annotated[
        list[str] | None,
        typer.Option(help="BACKEND=PATH: the Python that has this engine; repeatable."),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(help="BACKEND[=IMAGE]: the image that has it; repeatable."),
    ] = None,
    container: Annotated[
        str, typer.Option(help="What runs containers, as in lem_container_command.")
    ] = "auto",
    container_args: Annotated[
        str, typer.Option(help="More arguments, as of --lem-container-args.")
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line.")
    ] = False,
) -> None:
    """Check whether this machine can measure, with a remedy for what it cannot."""
    from pytest_lem.doctor import Subject
    from pytest_lem.doctor.examine import examine
    from pytest_lem.front.options.values import arguments, interpreter
    from pytest_lem.front.options.values import image as image_of
    from pytest_lem.report.doctor import lines

    try:
        subject = Subject(
            pythons=dict(map(interpreter, python or ())),
            images=dict(map(image_of, image or ())),
            container=container,
            arguments=arguments(container_args),
        )
        found = list(examine(subject))
    except (LemError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    width = shutil.get_terminal_size().columns
    told = [json.dumps(one.to_json()) for one in found]
    for line in told if as_json else lines(found, width):
        typer.echo(line)
    if any(one.state == "failed" for one in found):
        raise typer.Exit(1)
