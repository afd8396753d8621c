"""What a session found: its cycles as they come, and the record and reports of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_lem.analysis.stats import Statistics
from pytest_lem.errors import StoreError
from pytest_lem.front.earlier import Earlier
from pytest_lem.front.program import Program
from pytest_lem.front.settings import Settings
from pytest_lem.measure.rawing import processes_of
from pytest_lem.records.assemble import complete, experiment_record, summaries
from pytest_lem.records.extended import Residue
from pytest_lem.records.journal import Journal
from pytest_lem.records.long import LongRecord
from pytest_lem.records.raw.files import write_run
from pytest_lem.records.record import Cycle, ExperimentRecord, Plan, Record, Session
from pytest_lem.records.result import Result
from pytest_lem.records.scores import read_scores, scored
from pytest_lem.records.shelf import Shelf, executed
from pytest_lem.records.stopping import stopping
from pytest_lem.spec.engine import EngineSpec


class _Results(Mapping[str, Result]):
    """The results of a session by experiment; none is made before it is asked for."""

    def __init__(self, findings: "Findings") -> None:
        self._findings = findings

    def __getitem__(self, name: str) -> Result:
        if not self._findings.has(name):
            raise KeyError(name)
        return self._findings.result(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._findings.names)

    def __len__(self) -> int:
        return len(self._findings.names)


class Findings:
    """The cycles of a session, each on disk as soon as it is known.

    `unwritten` has a line for each report that could not be written.
    """

    def __init__(self, program: Program, settings: Settings, directory: Path) -> None:
        self.unwritten: list[str] = []
        self._program = program
        self._settings = settings
        self._cycles = Shelf(Journal(directory))
        self._executed: list[dict[str, Any]] = []
        self._lost: set[str] = set()
        path = settings["quality-file"]
        self._scores = None if path is None else read_scores(path)

    def __bool__(self) -> bool:
        return bool(self._cycles)

    def keep(self, item_id: str, cycle: Cycle) -> str:
        """Take in a cycle, on disk first; the hash of its line in the journal.

        Raises StoreError where it cannot be written.
        """
        identity = self._program.identities[item_id]
        digest = self._cycles.put(item_id, identity, cycle)
        self._executed.append(executed(item_id, cycle))
        return digest

    def restore(self, earlier: Earlier) -> None:
        """Take in what an earlier session has measured of these experiments."""
        known = self._program.experiments
        self._cycles.restore({k: it for k, it in earlier.cycles.items() if k in known})
        self._executed += [it for it in earlier.ran if it["experiment_id"] in known]

    def take_over(self, item_id: str, cycles: Sequence[Cycle]) -> None:
        """Take in what was measured of an experiment elsewhere, and nothing else.

        Raises StoreError where it cannot be written here.
        """
        self._cycles.drop(item_id)
        for cycle in cycles:
            self._cycles.put(item_id, self._program.identities[item_id], cycle)

    def lose(self, item_id: str) -> None:
        """Count no more of what was measured of an experiment: all of it runs again."""
        self._cycles.drop(item_id)
        for one in self._executed:
            if one["experiment_id"] == item_id and one["status"] == "complete":
                one["status"] = "rerun"

    @property
    def names(self) -> list[str]:
        """The experiments that have begun, in the order they did."""
        return list(self._cycles)

    def cycles(self, item_id: str) -> Sequence[Cycle]:
        """The cycles of an experiment that has begun, whatever became of them.

        They are in the journal: like all that needs them, this raises StoreError where
        that cannot be read any more.
        """
        return self._cycles[item_id]

    def hashes(self, item_id: str) -> Sequence[str]:
        """One for each cycle of an experiment so far: those of its lines on disk."""
        return self._cycles.hashes(item_id)

    def results(self) -> Mapping[str, Result]:
        """The cycles so far of each experiment that has begun."""
        return _Results(self)

    def has(self, item_id: str) -> bool:
        """Whether anything was measured of an experiment."""
        return item_id in self._cycles

    def result(self, item_id: str) -> Result:
        """The cycles of an experiment so far."""
        cycles = self._cycles[item_id] if self.has(item_id) else []
        return Result(cycles, self._statistics(item_id))

    def enough(self, item_id: str) -> bool:
        """Whether the cycles of an experiment are as precise as was asked for."""
        asked = self._statistics(item_id)
        if asked.precision is None or not self.has(item_id):
            return False
        done = complete(self._cycles[item_id])
        found = stopping(done, summaries(done, asked), asked)
        return found is not None and found["reached"]

    def _statistics(self, item_id: str) -> Statistics:
        """As the settings have it; where the number of cycles is open, until when."""
        settings = self._settings
        auto = self._program.experiments[item_id].effort.cycles == "auto"
        return Statistics(
            ci="repeated" if auto else settings["ci"],
            resamples=settings["bootstrap"],
            max_cv=settings["max-cv"] / 100,
            precision=settings["precision"] if auto else None,
        )

    def record(
        self,
        session: Session,
        environment: Mapping[str, Any],
        timeseries: dict[str, Any] | None,
        residue: Callable[[EngineSpec], Residue],
        *,
        resumed: Sequence[str] = (),
    ) -> LongRecord:
        """All of it; `residue` tells what engines of a spec left in memory of GPUs.

        `resumed` are the times at which the session was gone on with. An experiment
        that cannot be read back is left out, and said to be.
        """
        program = self._program
        head = Record(
            session=session,
            environment=dict(environment),
            plan=Plan(
                order=program.order,
                seed=program.seed,
                seed_source=program.seed_source,
                gap_s=self._settings["gap"],
                cycle_gap_s=self._settings["cycle-gap"],
                planned=len(program.steps),
                executed=self._executed,
                skipped=program.skipped,
                resumed=[*resumed],
            ),
            timeseries=timeseries,
            experiments=[],
        )
        return LongRecord(head, lambda: self._experiments(residue))

    def experiment(self, item_id: str, residue: Residue) -> ExperimentRecord:
        """The record of one experiment that has begun; raises StoreError."""
        found = experiment_record(
            self._program.experiments[item_id],
            self._program.identities[item_id],
            self._cycles[item_id],
            residue,
            self._statistics(item_id),
        )
        return found if self._scores is None else scored(found, self._scores)

    def _experiments(
        self, residue: Callable[[EngineSpec], Residue]
    ) -> Iterator[ExperimentRecord]:
        for name, one in self._program.experiments.items():
            if name not in self._cycles or name in self._lost:
                continue
            try:
                yield self.experiment(name, residue(one.spec))
            except StoreError as error:
                self._lost.add(name)
                self.unwritten.append(f"{name} is in no report: {error}")

    @property
    def told(self) -> list[str]:
        """A line on scores of experiments that the session does not have."""
        known = self._program.identities
        lost = self._scores.unknown({*known, *known.values()}) if self._scores else []
        option = self._settings.says("quality-file")
        return [f"{option}: no experiment {', '.join(map(repr, lost))}"] if lost else []

    def show(self, experiment: ExperimentRecord) -> None:
        """Show the record of an experiment to those who asked for it."""
        item = self._program.items[experiment.id]
        item.ihook.pytest_lem_record(record=experiment, item=item)

    def share(self, record: Record, cycle: Cycle) -> None:
        """Write what the processes of a cycle share beside what each of them did."""
        folder = Path(str(cycle.raw_path))
        one = record.experiments[0].model_copy(update={"cycles": [cycle]})
        run = record.model_copy(update={"experiments": [one]})
        try:
            write_run(folder, processes_of(cycle), run)
        except OSError as error:
            self.unwritten.append(f"{folder} is not whole: {error}")
