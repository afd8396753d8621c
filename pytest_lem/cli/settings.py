"""Commands about what can be asked for, and what was."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pytest_lem.cli.app import app
from pytest_lem.errors import LemError


@app.command()
def models() -> None:
    """List the models that need no download, for `--lem-model`."""
    from pytest_lem.workload.models import synthetic_names

    for name in synthetic_names():
        typer.echo(f"synthetic:{name}")


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


@app.command(context_settings={"ignore_unknown_options": True})
def grid(
    arguments: Annotated[
        list[str],
        typer.Argument(help="Files, *.lem.yaml, or node ids, and options of pytest."),
    ],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder; made where it is missing.")
    ],
) -> None:
    """Write each experiment of YAML files as a file of its own."""
    from pytest_lem.front.explain import collect
    from pytest_lem.measure.watching import profile_name
    from pytest_lem.spec.files.writing import written

    found = collect([*arguments, "--lem-missing=skip"])
    if found.code:
        typer.echo(found.printed.strip(), err=True)
        raise typer.Exit(found.code)
    try:
        output.mkdir(exist_ok=True)
        for path, point in found.points:
            told = written(point, beside=path.parent, to=output.absolute())
            name = profile_name(point.name).removesuffix(".json")
            (output / f"{name}.lem.yaml").write_text(told, encoding="utf-8")
    except OSError as error:
        typer.echo(f"{output}: cannot be written: {error.strerror}", err=True)
        raise typer.Exit(2) from error
    for name, reason in found.left_out.items():
        typer.echo(f"left out: {name}: {reason}", err=True)
    typer.echo(f"{len(found.points)} experiments in {output}")


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
    audit: Annotated[
        bool,
        typer.Option(
            "--audit",
            help="With --backend: print a campaign that tries each by itself.",
        ),
    ] = False,
    python: Annotated[
        str, typer.Option(help="With --diff, --record: the Python with the engine.")
    ] = sys.executable,
) -> None:
    """List every parameter, or what an installed engine takes beside them."""
    from pytest_lem.report import parameters

    try:
        chosen = parameters.chosen(backend)
        if audit:
            from pytest_lem.report.audit import audited
            from pytest_lem.report.audit import lines as audit_lines

            told = audit_lines(audited(backend))
        elif record is not None:
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
