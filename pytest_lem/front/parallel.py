"""`pytest -n`: each worker of xdist measures on GPUs of its own, for one report.

A worker writes what it knows of each experiment to a part, anew after each cycle; the
controller joins the parts when all workers have ended, however they did.
"""

import os
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from pytest_lem.errors import ConfigError, LemError
from pytest_lem.front.loop import interruptible
from pytest_lem.front.options.cluster import LOCAL
from pytest_lem.front.settings import SETTINGS, Settings
from pytest_lem.front.stash import SESSION, SHARE

if TYPE_CHECKING:
    from pytest_lem.front.gating import Gating
    from pytest_lem.records.record import Record
    from pytest_lem.report.summary import Summary
    from pytest_lem.store.place import Place

_KEY = "lem"
_UNDIVIDED = ("rapl", "codecarbon", "zeus")
_UNREAL = ("none", "fake", "replay")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A worker's place among those of its session, and what they have in common.

    `place` is which of them it is, from 0, and how many there are on this machine.
    `problems` has a line for each thing that stands against measuring side by side at
    all. One that is `remote` runs what a driver on another machine tells it, on the
    GPUs it was given, of which it uses `gpus`.
    """

    session: str
    started_at: str
    command: list[str]
    worker: str
    place: tuple[int, int]
    problems: list[str]
    remote: bool = False
    gpus: int = 0

    @property
    def alone(self) -> bool:
        """Whether no other session measures on this machine."""
        return self.place[1] == 1

    def check(self, settings: Settings, gpus: int) -> None:
        """Raise ConfigError where it has too few GPUs, or cannot tell its energy."""
        if self.remote and gpus < self.gpus:
            raise ConfigError(
                f"{gpus} GPUs are to be seen here, and Ray gave {self.gpus}: start Ray "
                "there with --num-gpus as there are"
            )
        kinds = [name.partition(":")[0] for name in settings["meter"]]
        option = f"{settings.says('meter')}={','.join(settings['meter'])}"
        count = self.place[1]
        if self.alone:
            return
        bad = [kind for kind in kinds if kind in _UNDIVIDED]
        if bad:
            raise ConfigError(
                f"{option}: {bad[0]} reads a CPU, whose energy cannot be divided "
                f"between the {count} workers of pytest -n: leave it out, or -n"
            )
        if not gpus and not set(kinds) <= {*_UNREAL}:
            raise ConfigError(
                f"pytest -n {count}: this run has no GPUs, and the energy of a CPU "
                f"cannot be divided between {count} workers: leave out -n, or measure "
                "time alone with --lem-meter=none"
            )


def share_of(config: pytest.Config) -> Share | None:
    """The share of this process; None where it is no worker of xdist."""
    given = getattr(config, "workerinput", {}).get(_KEY)
    if given is None:
        return config.stash.get(SHARE, None)
    return Share(**{**given, "place": tuple(given["place"])})


class Parts:
    """What a worker knows of its experiments: a file for each, in their order."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "parts"

    def put(self, position: int, record: "Record", *, first: bool) -> None:
        """Write the one experiment of a record; what was there is replaced.

        A part has the cycles of its own experiment, and the first of a worker what was
        skipped: parts that had all would grow with the square of the experiments.
        """
        from pytest_lem.records.export import write_json

        self._directory.mkdir(parents=True, exist_ok=True)
        name, plan = record.experiments[0].id, record.plan
        ran = [one for one in plan.executed if one["experiment_id"] == name]
        update = {"executed": ran, "skipped": plan.skipped if first else []}
        record = record.model_copy(update={"plan": plan.model_copy(update=update)})
        write_json(record, self._directory / f"{position:06}.json")


def parts_of(sessions: Path, session: str) -> "Iterator[Record]":
    """What all workers of a session wrote, in the order of the experiments."""
    from pytest_lem.records.export import read_json

    found = sessions.glob(f"{session}-*/parts/*.json")
    yield from map(read_json, sorted(found, key=lambda path: path.name))


def tell_controller(config: pytest.Config, **told: Any) -> None:
    """Let the controller know; nothing where there is none."""
    output = getattr(config, "workeroutput", None)
    if output is not None:
        output.setdefault(_KEY, {}).update(told)


class Joint:
    """The controller's side of a session: one report of what its workers measured.

    It has what the summary at the end shows, as a `LemSession` has.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.final: Summary | None = None
        self.problems: list[str] = []
        self.unwritten: list[str] = []
        self.told: list[str] = []
        self.left: str | None = None
        self.store: Place | None = None
        self.ready = False
        self.gating: Gating | None = None
        self._config = config
        self._started_at = datetime.now(UTC).astimezone()
        self._id = f"{self._started_at:%Y%m%dT%H%M%S}-{os.getpid()}"
        self._sessions = config.rootpath / ".lem" / "sessions"
        self._workers: dict[str, int] = {}
        self._failed: set[str] = set()
        self._whole = True

    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker its place; one that replaces another has that one's."""
        worker, count = node.workerinput["workerid"], node.workerinput["workercount"]
        free = set(range(count)) - set(self._workers.values())
        self._workers[worker] = min(free)
        share = Share(
            session=self._id,
            started_at=self._started_at.isoformat(timespec="milliseconds"),
            command=[str(one) for one in self._config.invocation_params.args],
            worker=worker,
            place=(self._workers[worker], count),
            problems=list(_against(self._config)),
        )
        node.workerinput[_KEY] = asdict(share) | {"place": list(share.place)}

    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take in what a worker had to say, and stop where it could not begin.

        Of one that was interrupted xdist tells twice.
        """
        self._whole = self._whole and error is None
        if self._workers.pop(node.workerinput["workerid"], None) is None:
            return
        told = getattr(node, "workeroutput", {}).get(_KEY, {})
        self.problems += told.get("problems", [])
        self.unwritten += told.get("unwritten", [])
        if told.get("refused"):
            raise pytest.UsageError(*told["refused"])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember what failed."""
        if report.failed:
            self._failed.add(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Let SIGTERM end the session as Ctrl-C does, once experiments have begun."""
        with interruptible(self._measures):
            return (yield)

    def _measures(self) -> bool:
        return any(self._sessions.glob(f"{self._id}-*"))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Join the parts and write the reports; after xdist has ended its workers."""
        ended = self._whole and exitstatus != pytest.ExitCode.INTERRUPTED
        self._join("complete" if ended else "interrupted")
        if self.gating is None:
            return
        worse = list(self.gating.late(self._failed))
        self.problems += worse
        if (self.unwritten or worse) and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _join(self, status: Literal["complete", "interrupted"]) -> None:
        if not self._sessions.is_dir():
            return
        from pytest_lem.front.gating import Gating, Joined
        from pytest_lem.front.reports import Reports, publish
        from pytest_lem.front.storing import Storing
        from pytest_lem.records.joining import joined

        record = joined(lambda: parts_of(self._sessions, self._id), status)
        if record is None:
            return
        settings = self._config.stash[SETTINGS]
        self.gating = Gating(settings, self._config.rootpath, Joined(record, settings))
        storing = Storing(settings, self._config.rootpath)
        try:
            storing.open()
            self.gating.open()
        except LemError as error:
            self.unwritten += error.message.splitlines()
        record = self.gating.complete(record)
        journals = self._sessions / f"{self._id}-*" / "cycles.jsonl"
        reports = Reports(record.head, settings, journals)
        self.final = publish(record, reports, storing, self.gating.renewed)
        self.unwritten += [*reports.unwritten, *storing.problems]
        self.store, self.told = storing.place, storing.told
        self._config.stash[SESSION] = self


def take_part(config: pytest.Config) -> None:
    """Join what workers of xdist measure, where this process is their controller.

    Raises UsageError where there are none, and something is said of them.
    """
    settings = config.stash[SETTINGS]
    if distributes(config):
        config.pluginmanager.register(Joint(config), "lem-joint")
    elif settings.origins["gpus-per-worker"] == "cli" and not (
        shares(config) or config.option.collectonly or settings["launch"] != LOCAL
    ):
        raise pytest.UsageError(
            "--lem-gpus-per-worker: say pytest -n N or --lem-launch=ray with it"
        )


def shares(config: pytest.Config) -> bool:
    """Whether this process measures a part of another's session."""
    return hasattr(config, "workerinput") or SHARE in config.stash


def distributes(config: pytest.Config) -> bool:
    """Whether this process is to hand its tests to workers of xdist."""
    if hasattr(config, "workerinput") or config.option.collectonly:
        return False
    return config.getoption("dist", "no") != "no" and bool(config.getoption("tx", None))


def _against(config: pytest.Config) -> Iterator[str]:
    """A line for each thing said that does not go with workers side by side."""
    settings = config.stash[SETTINGS]
    if config.getoption("dist") == "each":
        yield "--dist=each: an experiment is measured by one worker: choose another"
    elsewhere = [spec for spec in config.getoption("tx") if "popen" not in spec]
    if elsewhere:
        yield f"--tx={elsewhere[0]}: measured is this machine; say pytest -n"
    if settings["launch"] != LOCAL:
        yield f"{settings.says('launch')}: nodes measure side by side: leave out -n"
    if settings["plan"]:
        yield f"{settings.says('plan')}: the plan is that of one process: leave out -n"
    if settings["resume"] is not None:
        yield f"{settings.says('resume')}: workers keep no plan: leave out -n"
    if settings.origins["order"] == "cli" and settings["order"] != "grouped":
        yield (
            f"--lem-order={settings['order']}: under pytest -n the cycles of an "
            "experiment follow one another: say grouped, or leave it out"
        )
