"""A record of any length: its experiments are made one at a time."""

from collections.abc import Callable, Iterator

from pytest_lem.records.record import ExperimentRecord, Record


class LongRecord:
    """What all experiments have in common in `head`, and the way to each of them.

    They are made anew each time they are gone through, so that one is in memory at a
    time. `head` is a record without experiments.
    """

    def __init__(
        self, head: Record, make: Callable[[], Iterator[ExperimentRecord]]
    ) -> None:
        self.head = head.model_copy(update={"experiments": []})
        self._make = make

    def __iter__(self) -> Iterator[ExperimentRecord]:
        return self._make()

    def each(
        self, change: Callable[[ExperimentRecord], ExperimentRecord]
    ) -> "LongRecord":
        """The same with each experiment as that makes it."""
        return LongRecord(self.head, lambda: map(change, self))

    def of(self, experiment: ExperimentRecord) -> Record:
        """The record of one experiment."""
        return self.head.model_copy(update={"experiments": [experiment]})


def long(record: Record) -> LongRecord:
    """A record that is whole already."""
    return LongRecord(record, lambda: iter(record.experiments))
