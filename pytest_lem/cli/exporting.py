"""`lem export`: a report in the words and files of other tools."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from pytest_lem.cli.app import app
from pytest_lem.cli.reading import read_report
from pytest_lem.errors import ConfigError, LemError

if TYPE_CHECKING:
    from pytest_lem.records.record import Record

Peer = Literal["vllm", "aiperf", "guidellm", "mlperf"]
Tool = Literal["bencher", "github-action-benchmark", "pytest-benchmark", Peer]


@app.command()
def export(
    report: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A JSON report.")
    ],
    *,
    tool: Annotated[
        Tool,
        typer.Option(
            "--as",
            help="Whose file to write: of the first three with metrics over cycles, of "
            "the others with the times of requests by their formulas and names.",
        ),
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC",
            help="A metric over cycles to tell; repeatable (default: the headlines).",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A file, instead of standard output."),
    ] = None,
    stamps: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Where the files of --lem-save-stamps are now, if they were moved.",
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Also what nothing measured, marked in its name: estimated, replayed "
            "and synthetic values. Of requests, windows without times of tokens too.",
        ),
    ] = False,
) -> None:
    """Tell a report as another tool would, for its comparisons and charts."""
    from pytest_lem.records.files import write_atomic

    def place(path: str) -> Path:
        return stamps / Path(path).name if stamps else Path(path)

    record = read_report(report)
    try:
        if tool in get_args(Peer):
            if metric:
                raise ConfigError(f"--as {tool} has metrics of its own, not --metric")
            from pytest_lem.report.peers import exported

            found = exported(record, tool, place, everything=everything)
            text = "".join(f"{json.dumps(one)}\n" for one in found)
        else:
            if stamps is not None:
                raise ConfigError(f"--as {tool} tells no times: no --stamps")
            text = _of_metrics(record, tool, metric or [], everything=everything)
        if output is not None:
            write_atomic(output, text)
    except (LemError, OSError) as error:
        typer.echo(f"{report}: {error}", err=True)
        raise typer.Exit(2) from error
    if output is None:
        typer.echo(text, nl=False)


def _of_metrics(
    record: "Record", tool: str, metrics: list[str], *, everything: bool
) -> str:
    from pytest_lem.report.services.exporting import exported

    tree, lines = exported(record, tool, metrics, everything=everything)
    for line in lines:
        typer.echo(line, err=True)
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"
