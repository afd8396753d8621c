"""How the commands that judge tell GitHub Actions what they found."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pytest_lem.gate.verdict import Finding

Summary = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        dir_okay=False,
        help="Append the verdicts to a file as Markdown, as to $GITHUB_STEP_SUMMARY.",
    ),
]
Annotate = Annotated[
    bool,
    typer.Option(
        "--annotate",
        help="Print the verdicts as annotations of GitHub Actions, on standard error.",
    ),
]


def publish(
    found: "Sequence[Finding]", summary: Path | None, *, annotate: bool, strict: bool
) -> None:
    """Tell the verdicts; node ids begin in the present directory."""
    from pytest_lem.report import github

    if summary is not None and found:
        try:
            with summary.open("a", encoding="utf-8") as file:
                file.write(github.summary(found))
        except OSError as error:
            typer.echo(f"--summary: {error}", err=True)
            raise typer.Exit(2) from error
    if annotate:
        here = Path.cwd()
        root = Path(os.environ.get("GITHUB_WORKSPACE", here)).resolve()
        for line in github.annotations(
            found, lambda name: github.place_of(name, here), root, strict=strict
        ):
            typer.echo(line, err=True)
