"""The end of a session: its record is gone through once, for all that is made of it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from pytest_lem.front.settings import Settings
from pytest_lem.front.storing import Storing
from pytest_lem.records.export import Take, csv_report, cycles_report, json_report
from pytest_lem.records.long import LongRecord
from pytest_lem.records.record import ExperimentRecord, Record
from pytest_lem.report.summary import Summary


@contextmanager
def _page(head: Record, path: Path) -> Iterator[Take]:
    """A page has all experiments side by side, and so holds them all."""
    from pytest_lem.report.html.page import write_report

    found: list[ExperimentRecord] = []
    yield found.append
    write_report(head.model_copy(update={"experiments": found}), path)


_REPORTS: dict[str, Callable[[Record, Path], AbstractContextManager[Take]]] = {
    "json": json_report,
    "csv": csv_report,
    "csv-cycles": cycles_report,
    "html": _page,
}


class Reports:
    """The reports that are asked for, on their way to the disk.

    `unwritten` has a line for each that could not be written; the journal still has
    every cycle then. None is in its place before all are told that they are whole.
    """

    def __init__(self, head: Record, settings: Settings, journal: Path) -> None:
        self.unwritten: list[str] = []
        self._journal = journal
        self._begun: dict[Path, tuple[ExitStack, Take]] = {}
        for name, report in _REPORTS.items():
            if (path := settings[name]) is not None:
                self._begin(path, report(head, path))

    def take(self, experiment: ExperimentRecord) -> None:
        """Write an experiment to each."""
        for path, (stack, take) in [*self._begun.items()]:
            try:
                take(experiment)
            except OSError as error:
                self._give_up(path, stack, error)

    def end(self) -> None:
        """Put each in its place."""
        for path, (stack, _) in [*self._begun.items()]:
            try:
                stack.close()
            except OSError as error:
                self._give_up(path, stack, error)
        self._begun.clear()

    def drop(self, error: BaseException) -> None:
        """Leave nothing of those that are not whole."""
        for stack, _ in self._begun.values():
            with suppress(OSError):
                stack.__exit__(type(error), error, error.__traceback__)

    def _begin(self, path: Path, report: AbstractContextManager[Take]) -> None:
        stack = ExitStack()
        try:
            self._begun[path] = stack, stack.enter_context(report)
        except OSError as error:
            self._give_up(path, stack, error)

    def _give_up(self, path: Path, stack: ExitStack, error: OSError) -> None:
        self._begun.pop(path, None)
        self.unwritten.append(
            f"report {path} could not be written: {error}; every cycle is in "
            f"{self._journal}"
        )
        with suppress(OSError):  # which has been told
            stack.__exit__(type(error), error, error.__traceback__)


def publish(
    record: LongRecord, reports: Reports, storing: Storing, renewed: str | None
) -> Summary:
    """Write all that is asked for, an experiment at a time; what people are shown.

    `renewed` is the label of the reference that the session may join.
    """
    shown = Summary(record.head)
    storing.begin(record.head)
    try:
        for one in record:
            reports.take(one)
            storing.take(one)
            shown.take(one)
    except BaseException as error:
        reports.drop(error)
        raise
    reports.end()
    storing.finish(renewed)
    return shown
