"""The session on a node: it collects as the driver does, and runs what it is told.

`python -m pytest_lem.front.remote.node --parent PID` reads what it is to know, and then
what to run, on its standard input, and answers on its standard output.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_lem.cluster.handshake import Collected, hashes
from pytest_lem.errors import StoreError
from pytest_lem.front.loop import Turn, interruptible, run_turn
from pytest_lem.front.parallel import Share
from pytest_lem.front.remote.exchange import facts, take_over
from pytest_lem.front.stash import ENDED, FATES, SESSION, SHARE
from pytest_lem.worker import group
from pytest_lem.worker.protocol import Message, encode, receive, take_pipes, write

_OF_THE_DRIVER = ("lfplugin", "nfplugin", "stepwiseplugin", "randomly")
_LEFT_OFF = {"maxfail": 0, "xmlpath": None, "usepdb": False, "collectonly": False}


class Node:
    """The plugin of such a session, and its end of the line."""

    def __init__(self, reader: int, writer: int, told: Mapping[str, Any]) -> None:
        self._reader = reader
        self._writer = writer
        self._share = Share(**told)
        self._refused: list[str] = []
        self._config: pytest.Config | None = None
        self._items: dict[str, pytest.Item] = {}
        self._reports: list[dict[str, Any]] = []
        self._cycles: list[str] = []
        self.ready = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> None:
        """Be part of the driver's session, which alone stops, reports and stores."""
        self._config = config
        config.stash[SHARE] = self._share
        config.workeroutput = {}  # type: ignore[attr-defined]
        for name, value in _LEFT_OFF.items():
            setattr(config.option, name, value)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Leave to the driver what is written or chosen by how tests ended."""
        for name in _OF_THE_DRIVER:
            if config.pluginmanager.hasplugin(name):
                config.pluginmanager.unregister(name=name)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember what could not be collected."""
        if report.failed:
            told = str(report.longrepr).strip().splitlines()
            self._refused.append(f"{report.nodeid}: {told[-1] if told else 'failed'}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Say what was collected, and run what is asked for until told to end."""
        self._items = {item.nodeid: item for item in session.items}
        self.ready = True
        self._say("ready", self._facts(session.config))
        while (message := receive(self._reader)) and message.kind == "run":
            with interruptible():
                self._answer(session, message.body)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a report for the driver."""
        assert self._config is not None
        hook = self._config.hook
        told = hook.pytest_report_to_serializable(config=self._config, report=report)
        self._reports.append(told)

    def pytest_lem_cycle_finish(self, cycle: Any) -> None:
        """Take a cycle for the driver."""
        self._cycles.append(cycle.model_dump_json())

    def end(self, code: int) -> None:
        """Say what is left to say once pytest has ended, and clean up behind it."""
        told = getattr(self._config, "workeroutput", {}).get("lem", {})
        if not self.ready:
            lines = told.get("refused") or self._refused
            self._say("refused", {"refused": lines, "code": code})
            return
        amiss = told.get("problems") or told.get("unwritten")
        well = code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not amiss
        if well:
            shutil.rmtree(self._scratch(), ignore_errors=True)
        self._say("bye", told | {"well": well})

    def _scratch(self) -> Path:
        """What the session wrote for itself, and the driver has of it."""
        assert self._config is not None
        directory: Path = self._config.stash[SESSION].name.directory
        return directory

    def _say(self, kind: str, body: Mapping[str, Any]) -> None:
        write(self._writer, encode(Message(kind=kind, body=dict(body))))

    def _facts(self, config: pytest.Config) -> dict[str, Any]:
        """What the driver compares with its own, and writes of this machine."""
        if self._refused:
            return {"refused": self._refused}
        state = config.stash[SESSION]
        items = state.program.items.values()
        collected = Collected(
            experiments=state.program.identities,
            files=hashes((item.path for item in items), config.rootpath),
        )
        found = collected.to_json() | facts(state)
        return found | {"scratch": str(self._scratch())}

    def _answer(self, session: pytest.Session, told: Mapping[str, Any]) -> None:
        self._reports, self._cycles = [], []
        item = self._items.get(told["name"])
        if item is None:
            self._say("answer", {"unknown": True})
            return
        state, before = session.config.stash[SESSION], _left_out(session, item)
        if item.nodeid in state.program.experiments:
            try:
                take_over(state, item.nodeid, told["earlier"], told["found"])
            except StoreError as error:
                self._say("answer", {"broken": error.message})
                return
        fates = item.stash[FATES] = set[str]()
        item.stash[ENDED] = False
        if told["skip"] is not None:
            item.add_marker(pytest.mark.skip(reason=told["skip"]))
        turn = Turn(item=item, cycle=told["cycle"], last=told["last"])
        ending: dict[str, Any] = {}
        try:
            run_turn(session, turn, self._items.get(told["next"]))
        except pytest.exit.Exception as error:
            ending["exit"] = str(error)
        except KeyboardInterrupt:
            ending["interrupted"] = True
            raise
        finally:
            stop = session.shouldstop or session.shouldfail
            session.shouldstop = session.shouldfail = False
            self._say(
                "answer",
                {
                    "reports": json.dumps(self._reports, default=str),
                    "cycles": self._cycles,
                    "fates": sorted(fates),
                    "ended": item.stash[ENDED] or told["skip"] is not None,
                    "left_out": _left_out(session, item)[len(before) :],
                    "stop": str(stop) if stop else None,
                    "found": state.program.found(item.nodeid),
                    "broken": state.planning.problem,
                    **ending,
                },
            )


def _left_out(session: pytest.Session, item: pytest.Item) -> list[str]:
    """Why an experiment was not measured, as often as that was said."""
    skipped = session.config.stash[SESSION].program.skipped
    return [it["reason"] for it in skipped if it["experiment_id"] == item.nodeid]


def main() -> None:
    """Collect, serve, and leave nothing behind, however the parent ends."""
    parser = argparse.ArgumentParser(prog="python -m pytest_lem.front.remote.node")
    parser.add_argument("--parent", type=int, metavar="PID", required=True)
    parent: int = parser.parse_args().parent
    reader, writer = take_pipes()
    group.guard(parent=parent, close=(reader, writer))
    told = receive(reader)
    assert told is not None
    sys.path.insert(0, str(Path.cwd()))
    node = Node(reader, writer, told.body["share"])
    code = pytest.main(told.body["arguments"], plugins=[node])
    node.end(int(code))


if __name__ == "__main__":
    main()
