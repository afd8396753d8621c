"""What GitHub Actions shows of a run: a summary in Markdown, and annotations."""

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pytest_lem.gate.budget import Spending
from pytest_lem.gate.verdict import Finding
from pytest_lem.report.gate import CAPTION, budget, failure, notes, row
from pytest_lem.report.summary import CAPTION as MEASURED
from pytest_lem.report.summary import Summary
from pytest_lem.report.table import NONE, visible

Place = tuple[Path, int | None]
"""A file, and a line in it, from 1; None where nobody knows it."""

# A step may write 1 MiB, of which it is refused all if it writes more.
MOST_ROWS = 500
_WORST = ("regression", "exceeded", "incomparable", "inconclusive", "pass")
_PUNCTUATION = re.compile(r"[^\w\s.,:/%=+±-]|_")


def summary(
    found: Sequence[Finding],
    spent: Sequence[Spending] = (),
    measured: Summary | None = None,
) -> str:
    """The verdicts, the worst first, and what was measured if that is given."""
    lines = []
    judged: list[Finding | Spending] = [*found, *spent]
    if judged:
        told: list[str] = [one.verdict for one in judged]
        counts = {word: told.count(word) for word in _WORST}
        shown = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
        lines += [f"### lem: {shown}", ""]
    ordered = sorted(found, key=lambda one: _WORST.index(one.verdict))
    if ordered:
        lines += [*_table([row(one) for one in ordered]), "", CAPTION, ""]
    reasons = [f"{visible(one.experiment)} {budget(one)}" for one in spent]
    reasons += [note for one in ordered for note in notes(one)]
    lines += [*(f"- {_text(one)}" for one in reasons[:MOST_ROWS]), ""]
    if measured is not None and (seen := measured.rows()):
        lines += ["### lem: measured", "", *_table(seen), "", MEASURED, ""]
        lines += [*(f"- {_text(one)}" for one in measured.legend()), ""]
    return "".join(f"{line}\n" for line in lines)


def annotations(
    found: Sequence[Finding | Spending],
    place: Callable[[str], Place],
    root: Path,
    *,
    strict: bool = False,
) -> Iterator[str]:
    """A line for each experiment that did not pass, the worst first.

    Warnings are the inconclusive, unless that is `strict`; all others are errors.
    Files are told relative to `root`.
    """
    by_name: dict[str, list[Finding | Spending]] = {}
    for verdict in _WORST[:-1]:
        for one in found:
            if one.verdict == verdict:
                by_name.setdefault(one.experiment, []).append(one)
    for name, mine in by_name.items():
        worst = mine[0].verdict
        kind = "error" if strict or worst != "inconclusive" else "warning"
        path, line = place(name)
        path = path.relative_to(root) if path.is_relative_to(root) else path
        where = {"file": str(path), **({"line": str(line)} if line else {})}
        title = {"title": f"lem: {worst}: {visible(name)}"}
        yield f"::{kind} {_properties(where | title)}::{_data(failure(mine))}"


def place_of(experiment: str, folder: Path) -> Place:
    """The test of a node id below a folder, as far as its file is there."""
    name, *names = experiment.partition("[")[0].split("::")
    path = (folder / name).resolve()
    if not (names and path.suffix == ".py" and path.is_file()):
        return path, None
    try:
        found: ast.AST | None = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return path, None
    for one in names:
        inside = ast.iter_child_nodes(found) if found else ()
        found = next((it for it in inside if getattr(it, "name", None) == one), None)
    return path, getattr(found, "lineno", None)


def _table(found: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Rows as a table of Markdown, without columns that are all dashes."""
    shown = [key for key in found[0] if any(one[key] != NONE for one in found)]
    yield f"| {' | '.join(shown)} |"
    yield f"|{'---|' * len(shown)}"
    for one in found[:MOST_ROWS]:
        yield f"| {' | '.join(_text(one[key]) for key in shown)} |"
    if found[MOST_ROWS:]:
        yield f"| and {len(found) - MOST_ROWS} more |"


def _text(text: str) -> str:
    """Text in which Markdown sees nothing to act on."""
    flat = " ".join(visible(text).split())
    return _PUNCTUATION.sub(lambda found: f"&#{ord(found[0])};", flat)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _properties(values: Mapping[str, str]) -> str:
    escaped = {
        key: _data(value).replace(":", "%3A").replace(",", "%2C")
        for key, value in values.items()
    }
    return ",".join(f"{key}={value}" for key, value in escaped.items())
