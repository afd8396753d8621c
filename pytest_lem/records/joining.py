"""One report of what several processes of a session measured side by side."""

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, Literal

from pytest_lem.records.long import LongRecord
from pytest_lem.records.record import Record


def joined(
    parts: Callable[[], Iterable[Record]], status: Literal["complete", "interrupted"]
) -> LongRecord | None:
    """The record of the whole session, None of no parts.

    `parts` gives them anew each time, in the order of the experiments. All are of one
    session on one machine, and no experiment is in two of them. What each process had
    of its own adds up: GPUs, meters, traces, the cycles that it ran.
    """
    heads, traced = [], _Traced()
    for part in parts():
        traced.add(part)
        heads.append(part.model_copy(update={"experiments": []}))
    if not heads:
        return None
    first = heads[0]
    meters = _each_once(one for part in heads for one in part.session.meters)
    gpus = {gpu["uuid"]: gpu for part in heads for gpu in part.environment["gpu"]}
    ran = _each_once(one for part in heads for one in part.plan.executed)
    skipped = _each_once(one for part in heads for one in part.plan.skipped)
    plan = {"executed": sorted(ran, key=itemgetter("started_at")), "skipped": skipped}
    head = Record(
        session=first.session.model_copy(update={"meters": meters, "status": status}),
        environment=first.environment | {"gpu": list(gpus.values())},
        plan=first.plan.model_copy(update=plan),
        timeseries=traced.files,
        experiments=[],
    )
    return LongRecord(head, lambda: (one for it in parts() for one in it.experiments))


def _each_once(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    kept: dict[str, dict[str, Any]] = {}
    for one in found:
        kept.setdefault(repr(one), one)
    return list(kept.values())


class _Traced:
    """The files of the first process by their names, those of others as `more`.

    `experiments` are the ids of those that each process measured.
    """

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Any]] = {}

    def add(self, part: Record) -> None:
        if part.timeseries is not None:
            path = part.timeseries["trace_path"]
            one = self._found.setdefault(path, part.timeseries | {"experiments": []})
            one["experiments"] += [each.id for each in part.experiments]

    @property
    def files(self) -> dict[str, Any] | None:
        if not self._found:
            return None
        first, *more = self._found.values()
        return first | ({"more": more} if more else {})


def traces_of(record: Record) -> list[dict[str, Any]]:
    """The files that its processes wrote, of each process once."""
    files = record.timeseries
    return [] if files is None else [files, *files.get("more", [])]


def traces_of_experiment(record: Record, experiment_id: str) -> dict[str, Any] | None:
    """The files of the process that measured an experiment, if they were kept."""
    for one in traces_of(record):
        if experiment_id in one.get("experiments", [experiment_id]):
            return one
    return None
