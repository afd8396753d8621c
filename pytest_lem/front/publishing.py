"""`--lem-github`: a session's verdicts and numbers, where GitHub Actions shows them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_lem.front.gating import Gating
    from pytest_lem.report.summary import Summary


def publish(measured: "Summary", gating: "Gating", root: Path) -> list[str]:
    """Append the summary where GITHUB_STEP_SUMMARY says; the lines that annotate.

    Outside of GitHub Actions there is neither. Where the summary cannot be written a
    line says so. Node ids begin at `root`.
    """
    from pytest_lem.report import github

    lines: list[str] = []
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    try:
        if path:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(github.summary(gating.found, gating.spent, measured))
    except OSError as error:
        lines.append(f"--lem-github: the summary could not be written: {error}")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        lines += github.annotations(
            [*gating.found, *gating.spent],
            lambda name: github.place_of(name, root),
            Path(os.environ.get("GITHUB_WORKSPACE", root)).resolve(),
            strict=gating.strict,
        )
    return lines
