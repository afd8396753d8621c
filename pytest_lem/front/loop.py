"""The loop: one test, several cycles, reported once.

Every cycle is a run of pytest's own protocol. Cycles before the last run silently:
their reports are held back unless something other than an assertion went wrong.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pytest
from _pytest.runner import runtestprotocol

from pytest_lem.front.stash import CYCLE, ENDED, FATES, HELD_BACK, SILENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One run of one item; `cycle` is None for items that measure nothing."""

    item: pytest.Item
    cycle: int | None
    last: bool


def turns(
    items: Sequence[pytest.Item],
    steps: Sequence[tuple[pytest.Item, int]],
) -> list[Turn]:
    """All runs in order: the steps, and other items beside their neighbours' last."""
    finals = {item: k for k, (item, _) in enumerate(steps)}
    place = {item: k for k, item in enumerate(items)}
    others = [item for item in items if item not in finals]
    found: list[Turn] = []
    for k, (item, cycle) in enumerate(steps):
        last = finals[item] == k
        while last and others and place[others[0]] < place[item]:
            found.append(Turn(item=others.pop(0), cycle=None, last=True))
        found.append(Turn(item=item, cycle=cycle, last=last))
    return found + [Turn(item=item, cycle=None, last=True) for item in others]


Around = Callable[[pytest.Item, int | None], AbstractContextManager[None]]
"""What is done before and after a run of an item: cycle, or None of other tests."""


def run_turns(
    session: pytest.Session,
    plan: Sequence[Turn],
    over: Callable[[], str | None],
    around: Around,
) -> None:
    """Walk the plan as pytest walks its items, with its ways of stopping.

    `over` tells why nothing more is to be begun, None while there is time.
    """
    for k, turn in enumerate(plan):
        if turn.item.stash.get(ENDED, False):
            continue
        following = _following(plan, k)
        with around(turn.item, turn.cycle):
            _run(turn, following)
        if turn.item.stash.get(ENDED, False):
            _tear_down_to(session, _following(plan, k), following)
        if plan[k + 1 :] and not session.shouldstop:
            session.shouldstop = over() or False
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)


def run_turn(
    session: pytest.Session, turn: Turn, following: pytest.Item | None
) -> None:
    """Run an item that somebody else chose, who may choose another one to follow.

    What is still set up and it does not share is torn down before. Where nobody knows
    what follows, fixtures of its module stay up.
    """
    session._setupstate.teardown_exact(turn.item)
    _run(turn, following or turn.item)


def run_silently(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Run one cycle without a report.

    An assertion that fails is held back, for the last cycle to judge. Anything else
    but success ends the experiment: its reports are given at once. So are those of a
    cycle that turned out to be the last while it ran, and is silent no more.
    """
    item.stash[HELD_BACK] = False
    properties = len(item.user_properties)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    bad = [one for one in reports if not one.passed]
    held_back = len(bad) == 1 and item.stash[HELD_BACK]
    if item.stash[SILENT] and (not bad or held_back):
        del item.user_properties[properties:]
        return
    item.stash[ENDED] = True
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def run_in_place(
    item: pytest.Item, cycles: int, nextitem: pytest.Item | None
) -> bool | None:
    """Run an item's cycles one after another, where the loop is another plugin's.

    The last is left to pytest, which None tells; True where there is no more to run.
    """
    for cycle in range(cycles):
        item.stash[CYCLE] = cycle
        item.stash[SILENT] = cycle < cycles - 1
        if not item.stash[SILENT]:
            return None
        run_silently(item, _same_place(item))
        if item.stash.get(ENDED, False):
            item.session._setupstate.teardown_exact(nextitem)
            return True
    return None


def note_fate(item: pytest.Item, report: pytest.TestReport) -> None:
    """Note how a phase ended, for the plan; an assertion is for the last cycle."""
    fates = item.stash.get(FATES, None)
    if fates is None or report.passed:
        return
    if hasattr(report, "wasxfail"):
        fates.add("xfailed")
    elif report.when != "call" or not item.stash.get(HELD_BACK, False):
        fates.add(report.outcome)


def _run(turn: Turn, following: pytest.Item | None) -> None:
    item = turn.item
    if turn.cycle is not None:
        item.stash[CYCLE] = turn.cycle
    item.stash[SILENT] = not turn.last
    nextitem = _same_place(item) if following is item else following
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=nextitem)


def _same_place(item: pytest.Item) -> pytest.Item:
    """What to name as the next item when the same one runs again.

    pytest would leave its function fixtures up if the item itself were next; its
    parent keeps module and class fixtures, as between two tests of one module.
    """
    parent: pytest.Item = item.parent  # type: ignore[assignment]
    return parent


def _following(plan: Sequence[Turn], k: int) -> pytest.Item | None:
    ahead = (turn.item for turn in plan[k + 1 :])
    return next((i for i in ahead if not i.stash.get(ENDED, False)), None)


def _tear_down_to(
    session: pytest.Session,
    real: pytest.Item | None,
    told: pytest.Item | None,
) -> None:
    """After an early end another item follows than the one pytest was told of."""
    if real is not told:
        session._setupstate.teardown_exact(real)


@contextmanager
def interruptible(wanted: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Let SIGTERM end the session as Ctrl-C does; only in the main thread.

    Where that is not `wanted` when it comes, it ends the process as ever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_signal: int, _frame: object) -> None:
        if wanted():
            raise KeyboardInterrupt("SIGTERM")
        signal.signal(signal.SIGTERM, before)
        signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
