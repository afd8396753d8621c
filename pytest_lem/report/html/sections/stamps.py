"""Times of the requests of an experiment, from the files beside its report."""

from collections.abc import Iterator
from pathlib import Path

from pytest_lem.records.record import Cycle
from pytest_lem.records.stamps import Stamped, read_stamps
from pytest_lem.report.html.sections.files import Read
from pytest_lem.report.html.view import Shown

NOT_KEPT = "The times of requests are not here: --lem-save-stamps DIR keeps them."


def stamped(shown: Shown) -> Iterator[tuple[Cycle, list[Stamped]]]:
    """The windows of each complete cycle whose file is there.

    A file whose place the record has no longer right is looked for beside the report.
    """
    for cycle in shown.side.cycles:
        found = None if cycle.stamps_path is None else _found(shown, cycle.stamps_path)
        if found is not None:
            yield cycle, found


def _found(shown: Shown, told: str) -> list[Stamped] | None:
    path, folder = Path(told), shown.folder
    near = [folder / path, folder / path.parent.name / path.name] if folder else []
    for one in near or [path]:
        try:
            if one.is_file():
                return _read(one)
        except (OSError, ValueError):
            continue
    return None


_read = Read(read_stamps, most=8)
