"""`--lem-github`: a session's verdicts and numbers, where GitHub Actions shows them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_lem.front.session import LemSession
    from pytest_lem.report.github import Place


def publish(state: "LemSession", root: Path) -> list[str]:
    """Append the summary where GITHUB_STEP_SUMMARY says; the lines that annotate.

    Outside of GitHub Actions there is neither. Where the summary cannot be written a
    line says so.
    """
    from pytest_lem.report import github

    lines, found = [], state.gating.found
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    try:
        if path:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(github.summary(found, state.final))
    except OSError as error:
        lines.append(f"--lem-github: the summary could not be written: {error}")
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return lines
    workspace = Path(os.environ.get("GITHUB_WORKSPACE", root)).resolve()

    def place(experiment: str) -> "Place":
        file, line, _ = state.program.items[experiment].location
        return (root / file).resolve(), None if line is None else line + 1

    strict = state.gating.strict
    return [*lines, *github.annotations(found, place, workspace, strict=strict)]
