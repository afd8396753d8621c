"""What the gate found: a row for each verdict, and why there is none."""

from collections.abc import Iterator, Sequence
from math import exp, fsum, log

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.gate.apart import Apart
from pytest_lem.gate.budget import Spending
from pytest_lem.gate.verdict import Finding
from pytest_lem.report.table import NONE, table, visible

CAPTION = (
    "Run against reference: geometric means over sessions, the change with the end of "
    "its one-sided 99 % interval nearer to none."
)

MOST_CHANGES = 8


def lines(found: Sequence[Finding], width: int) -> list[str]:
    """The table, and a line for each verdict that needs a word."""
    told = [CAPTION, *table([row(one) for one in found], width)]
    for one in found:
        told += notes(one)
    return told


def verdicts(
    found: Sequence[Finding], spent: Sequence[Spending], width: int
) -> list[str]:
    """The same for a session, with its budgets; it may have judged nothing."""
    told = lines(found, width) if found else []
    return [*told, *(f"{visible(it.experiment)} {budget(it)}" for it in spent)]


def failure(found: Sequence[Finding | Spending]) -> str:
    """Why a test fails: how much, against what, which limit, what else changed."""
    told = []
    for one in found:
        if isinstance(one, Spending):
            told.append(budget(one))
            continue
        it = row(one)
        if one.shift is not None:
            told.append(
                f"{one.verdict}: {it['metric']} {it['reference']} -> {it['run']}, "
                f"{it['change']}, limit {it['limit']}, {it['sessions']} sessions"
            )
        told += [line.partition(f"{it['metric']}: ")[2] for line in notes(one)]
    return "\n".join(told)


def notes(one: Finding) -> Iterator[str]:
    """Why there is no verdict, what was left out, and what could not have been seen."""
    name = f"{visible(one.experiment)} {one.limit.metric}"
    for reason in one.reasons:
        yield f"{name}: {one.verdict}: {visible(reason)}"
    if one.verdict == "inconclusive" and one.answer is not None:
        yield (
            f"{name}: inconclusive: beyond the limit, and noise alone does so with "
            f"p = {one.answer.p:.2g} ({one.answer.p_of_suite:.2g} as one of the suite)"
        )
    if one.noise is not None:
        yield f"{name}: judged by {one.noise}"
    if one.shift is not None and one.shift.visible > 1 + one.limit.share:
        percent = 100 * (one.shift.visible - 1)
        yield f"{name}: changes below {percent:.1f} % cannot be told from noise here"
    if one.verdict == "regression":
        yield from (f"{name}: also changed: {visible(str(it))}" for it in _most(one))
    for session, reason in one.left_out.items():
        if reason not in one.reasons:
            yield f"{name}: session {session} does not count: {visible(reason)}"


def budget(one: Spending) -> str:
    """What there was, what there may be, and why nothing is known."""
    unit = METRICS[one.metric].unit
    value = NONE if one.value is None else f"{one.value:.4g}"
    bound = "at most" if one.budget.startswith("max_") else "at least"
    told = f"{one.metric} {value}, {bound} {one.amount:.4g} {unit}: {one.verdict}"
    return ", ".join([told, *map(visible, one.reasons)])


def _most(one: Finding) -> Sequence[Apart]:
    """Of what else changed; lem diff has all of it."""
    return one.changed[:MOST_CHANGES]


def row(one: Finding) -> dict[str, str]:
    """The verdict as text by column."""
    sessions, change = NONE, NONE
    if one.shift is not None:
        sessions = f"{one.shift.sessions[1]} : {one.shift.sessions[0]}"
        ratio = one.shift.ratio
        end = one.shift.low if ratio >= 1 else one.shift.high
        change = f"{_percent(ratio)} ({_percent(end)})"
    return {
        "experiment": visible(one.experiment),
        "metric": one.limit.metric,
        "reference": _mean(one.reference),
        "run": _mean(one.values),
        "change": change,
        "limit": f"{'+' if one.limit.better == 'lower' else '-'}"
        f"{100 * one.limit.share:g} %",
        "sessions": sessions,
        "verdict": f"{one.verdict}, improved" if one.improved else one.verdict,
    }


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %"


def _mean(values: Sequence[float]) -> str:
    """Of all cycles; with equally many in each session that of the sessions too."""
    if not values:
        return NONE
    return f"{exp(fsum(map(log, values)) / len(values)):.4g}"
