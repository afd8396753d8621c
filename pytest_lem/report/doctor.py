"""What `lem doctor` tells people."""

import io
from collections.abc import Sequence

from pytest_lem.doctor import Check
from pytest_lem.report.table import visible

LEAST_WIDTH = 80


def lines(checks: Sequence[Check], width: int) -> list[str]:
    """A table of what was found, each remedy below its line, and a summary."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    made.add_column("check", no_wrap=True)
    made.add_column("", no_wrap=True)
    made.add_column("found, and what to do", overflow="fold")
    for one in checks:
        told = visible(one.found) + (
            f"\n-> {visible(one.remedy)}" if one.remedy else ""
        )
        made.add_row(Text(one.name), Text(one.state), Text(told))
    width = max(width, LEAST_WIDTH)
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(made)
    assert isinstance(console.file, io.StringIO)
    table = console.file.getvalue().strip("\n").split("\n")
    count = {
        state: sum(c.state == state for c in checks) for state in ("failed", "warning")
    }
    found = f"{count['failed']} failed, {count['warning']} warnings"
    return [*(line.rstrip() for line in table), found]
