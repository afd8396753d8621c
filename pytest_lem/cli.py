"""The `lem` command."""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import pytest_lem
from pytest_lem.errors import ConfigError, LemError, MeterError

if TYPE_CHECKING:
    from pytest_lem.records.record import Record
    from pytest_lem.worker.exercise import Exercise

_EXERCISE = "pytest_lem.engines.transformers.exercise"

app = typer.Typer(
    name="lem",
    help="Around `pytest --lem-...`: what the plugin knows and writes.",
    no_args_is_help=True,
    add_completion=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pytest-lem {pytest_lem.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command()
def schema() -> None:
    """Print the JSON Schema of a report."""
    from pytest_lem.records.schema import text

    typer.echo(text(), nl=False)


@app.command()
def models() -> None:
    """List the models that need no download, for `--lem-model`."""
    from pytest_lem.workload.models import synthetic_names

    for name in synthetic_names():
        typer.echo(f"synthetic:{name}")


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
def phases(
    report: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A JSON report.")
    ],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line.")
    ] = False,
) -> None:
    """Fit J = fixed + b x tokens in + c x tokens out; print measured phases beside."""
    from pytest_lem.report.phases import lines, phases

    for found in phases(_read(report)):
        told = [json.dumps(found.to_json())] if as_json else lines(found)
        typer.echo("\n".join(told))


def _read(report: Path) -> "Record":
    from pytest_lem.records.export import read_json

    try:
        return read_json(report)
    except ValueError as error:
        reason = str(error).splitlines()[1].strip()
        typer.echo(f"{report} is no report of pytest-lem: {reason}", err=True)
        raise typer.Exit(2) from error


@app.command()
def compare(
    reports: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, help="One JSON report, or two."),
    ],
    *,
    by: Annotated[
        Literal["backend"], typer.Option(help="What the experiments differ in.")
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line.")
    ] = False,
) -> None:
    """Hold backends against each other that did equal work; else tell what differs."""
    from pytest_lem.report import compare
    from pytest_lem.report.table import table

    if len(reports) > 2:
        typer.echo(f"one report or two, not {len(reports)}", err=True)
        raise typer.Exit(2)
    found = compare.compare([_read(report) for report in reports])
    if as_json:
        for one in found:
            typer.echo(json.dumps(one.to_json()))
    elif rows := compare.rows(found):
        width = shutil.get_terminal_size().columns
        typer.echo("\n".join([compare.CAPTION, *table(rows, width)]))
    refused = list(compare.refusals(found))
    if not found:
        refused = [f"no two experiments there differ in their {by}"]
    for line in refused:
        typer.echo(line, err=True)
    if refused:
        raise typer.Exit(2)


@app.command()
def trace(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A recorded trace.")
    ],
    *,
    windows: Annotated[
        typer.FileText | None,
        typer.Option(
            encoding="utf-8",
            errors="replace",
            help="JSON lines, [start_s, end_s] or objects; `-` is standard input.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line.")
    ] = False,
) -> None:
    """Tell the energy of the marks of a trace, or of other spans of it, anew."""
    from pytest_lem.meters.trace import read_trace
    from pytest_lem.report.trace import recounted, spans, table

    try:
        told = read_trace(file)
        marks = told.marks if windows is None else spans(windows, windows.name)
    except LemError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    found = list(recounted(told, marks))
    if as_json:
        for one in found:
            typer.echo(json.dumps(one.to_json()))
    else:
        typer.echo(table(found, max(shutil.get_terminal_size().columns, 100)))


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
    from pytest_lem.front.values import arguments, interpreter
    from pytest_lem.front.values import image as image_of
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


@app.command(context_settings={"ignore_unknown_options": True})
def explain(
    arguments: Annotated[
        list[str],
        typer.Argument(help="Files, directories or node ids, and options of pytest."),
    ],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line.")
    ] = False,
) -> None:
    """Tell each setting of the experiments that pytest would run, and who said it."""
    from pytest_lem.front.explain import collect
    from pytest_lem.report.explain import line_of_json, lines

    found = collect(arguments)
    for identity, one in found.experiments:
        told = [line_of_json(identity, one)] if as_json else lines(identity, one)
        typer.echo("\n".join(told))
    if found.code:
        typer.echo(found.printed.strip(), err=True)
        raise typer.Exit(found.code)
    if not found.experiments:
        typer.echo("no experiments there: no test takes the fixture `lem`", err=True)


@app.command()
def params(
    *,
    backend: Annotated[
        str | None, typer.Option(help="transformers, vllm, tensorrt or universal.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line.")
    ] = False,
    as_schema: Annotated[
        bool, typer.Option("--schema", help="Print JSON Schema, one a line.")
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Compare with the engine that is installed.")
    ] = False,
    record: Annotated[
        Path | None,
        typer.Option(help="Write down what the engine that is installed takes."),
    ] = None,
    python: Annotated[
        str, typer.Option(help="With --diff, --record: the Python with the engine.")
    ] = sys.executable,
) -> None:
    """List every parameter, or what an installed engine takes beside them."""
    from pytest_lem.report import parameters

    try:
        chosen = parameters.chosen(backend)
        if record is not None:
            told = parameters.record_lines(chosen, record, python)
        elif diff:
            told = parameters.difference_lines(chosen, python, as_json=as_json)
        else:
            told = parameters.listing(chosen, as_json=as_json, as_schema=as_schema)
        for line in told:
            typer.echo(line)
    except LemError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
