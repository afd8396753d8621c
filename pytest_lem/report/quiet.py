"""What `lem aa` found: a row for each metric, and how often the suite was red."""

from collections.abc import Iterator, Sequence

from pytest_lem.analysis.alarms import at_most
from pytest_lem.gate.quiet import Quiet, Suite, Tally
from pytest_lem.report.table import NONE, table, visible

CAPTION = (
    "Over n sessions: standard deviations of windows, of cycles and of sessions, each "
    "without what lies below it; the change that one session against all others shows; "
    "how often the gate called one a regression (and would by the normal law), and "
    "halves in turn."
)

# What differs by more is told to differ by more.
_MOST = 9.99


def lines(suite: Suite, width: int) -> list[str]:
    """The table, what spoils its numbers, and the suite as a whole."""
    told = [CAPTION, *table([_row(one) for one in suite.found], width)]
    for one in suite.found:
        told += _notes(one)
    return [*told, *_of_suite(suite)]


def _notes(one: Quiet) -> Iterator[str]:
    name = f"{visible(one.experiment)} {one.limit.metric}"
    yield from (f"{name}: {visible(reason)}" for reason in one.reasons)
    if one.drifts:
        yield f"{name}: sessions drift: they are no draws of one noise"
    if one.follows:
        yield f"{name}: a session is like the one before: noise is told too low"


def _of_suite(suite: Suite) -> Iterator[str]:
    held, turn = suite.held_out, suite.in_turn
    if not held.judged:
        yield "false alarms are not known: nothing could be judged by four sessions"
        return
    bound = 100 * at_most(held.alarms, held.judged)
    yield (
        f"the suite was red in {_count(held)} sessions held against the others: with "
        f"95 % confidence in at most {bound:.3g} %, were they independent"
    )
    if turn.judged:
        yield (
            f"the suite was red in {_count(turn)} splits in turn, all of the same "
            "sessions: no bound follows"
        )


def _row(one: Quiet) -> dict[str, str]:
    spread, law = one.spread, NONE
    if one.by_law is not None:
        law = f" ({100 * one.by_law:.2g} %)"
    levels: Sequence[float | None] = (None, None, None)
    if spread is not None:
        levels = (spread.within_cycle, spread.between_cycles, spread.between_sessions)
    told = map(_percent, levels)
    return {
        "experiment": visible(one.experiment),
        "metric": one.limit.metric,
        "n": str(one.sessions),
        **dict(zip(("windows", "cycles", "sessions"), told, strict=True)),
        "shows": _percent(one.visible - 1 if one.visible else None),
        "limit": f"{100 * one.limit.share:g} %",
        "false alarms": _count(one.held_out) + law if one.held_out.judged else NONE,
        "in turn": _count(one.in_turn) if one.in_turn.judged else NONE,
    }


def _percent(share: float | None) -> str:
    if share is None:
        return NONE
    return f"{100 * share:.3g} %" if share < _MOST else f"> {100 * _MOST:g} %"


def _count(tally: Tally) -> str:
    return f"{tally.alarms} of {tally.judged}"
