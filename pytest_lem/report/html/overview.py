"""What stands at the top of a page: what was measured, on what, and what to know."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_lem.analysis.metrics import HEADLINES, METRICS
from pytest_lem.gate.side import Side
from pytest_lem.report.html.view import Kind, Number, Shown
from pytest_lem.report.html.words import short, title
from pytest_lem.report.summary import FLAGS

_TOLD = (*HEADLINES, "ttft_p50_ms", "memory_peak_mb")
_WORST = ("regression", "exceeded", "incomparable", "inconclusive", "pass")
MOST_NAMES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionShown:
    """A session that ran some experiments."""

    name: str
    started_at: str
    status: str
    command: str
    commit: str | None
    experiments: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine by what people call its parts, its meters, and what it ran."""

    facts: Mapping[str, str]
    sessions: Sequence[SessionShown]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A flag, a verdict or a reason in plain words, and which experiments have it."""

    word: str
    meaning: str
    names: Sequence[str]
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best number of a metric that any experiment has."""

    metric: str
    title: str
    unit: str
    number: Number
    name: str
    anchor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All of it. `no_energy` has why experiments have no energy per output token.

    `kinds` counts experiments by what their energy rests on, `synthetic_weights` those
    whose weights are random.
    """

    machines: Sequence[Machine]
    sessions: int
    experiments: int
    cycles: int
    failed: int
    backends: Sequence[str]
    models: Sequence[str]
    kinds: Mapping[Kind, int]
    synthetic_weights: int
    best: Sequence[Best]
    verdicts: Sequence[Told]
    flags: Sequence[Told]
    no_energy: Sequence[Told]


def overview(shown: Sequence[Shown]) -> Overview:
    """What a page says first."""
    energy = HEADLINES[0]
    told = {(one.experiment_id, one.kind(energy)) for one in shown if one.has(energy)}
    kinds = Counter(kind for _, kind in told)
    return Overview(
        machines=(machines := _machines(shown)),
        sessions=sum(len(one.sessions) for one in machines),
        experiments=len({one.experiment_id for one in shown}),
        cycles=sum(one.cycles for one in shown),
        failed=sum(one.failed for one in shown),
        backends=sorted({one.backend for one in shown}),
        models=sorted({short(one.model) for one in shown}),
        kinds=dict(kinds),
        synthetic_weights=len(
            {one.experiment_id for one in shown if one.synthetic_weights}
        ),
        best=list(_best(shown)),
        verdicts=_verdicts(shown),
        flags=_flags(shown),
        no_energy=_no_energy(shown),
    )


def _machines(shown: Sequence[Shown]) -> list[Machine]:
    """In the order in which they began, each with its sessions, the newest first."""
    found: dict[tuple[tuple[str, str], ...], dict[tuple[str, str], list[Side]]] = {}
    for one in shown:
        sessions = found.setdefault(tuple(_machine(one.side)), {})
        sessions.setdefault((one.session, one.started_at), []).append(one.side)
    return [
        Machine(
            facts=dict(facts),
            sessions=[_session(some[0], len(some)) for some in sessions.values()][::-1],
        )
        for facts, sessions in found.items()
    ]


def _session(side: Side, count: int) -> SessionShown:
    session = side.session
    commit = (session.git or {}).get("commit")
    dirty = " with changes" if (session.git or {}).get("dirty") else ""
    return SessionShown(
        name=session.label or session.id,
        started_at=session.started_at,
        status=session.status,
        command=" ".join(session.command),
        commit=f"{str(commit)[:12]}{dirty}" if commit else None,
        experiments=count,
    )


def _machine(side: Side) -> Iterator[tuple[str, str]]:
    """What there is of it, by what people call it."""
    environment = side.environment
    gpus = environment.get("gpu") or ()
    names = Counter(str(gpu.get("name")) for gpu in gpus)
    told = [f"{n} x {name}" if n > 1 else name for name, n in names.items()]
    yield "GPU", ", ".join(told) or "none"
    if gpus:
        limit, driver = gpus[0].get("power_limit_w"), gpus[0].get("driver_version")
        yield "driver", str(driver or "unknown")
        yield "power limit", "unknown" if limit is None else f"{limit:g} W"
    cpu, memory = environment.get("cpu") or {}, environment.get("memory") or {}
    cores = cpu.get("cores_physical")
    yield "CPU", f"{cpu.get('model')}{f', {cores} cores' if cores else ''}"
    if memory.get("total_mb"):
        yield "memory", f"{memory['total_mb'] / 1e3:.0f} GB"
    system = environment.get("os") or {}
    if system:
        yield "system", f"{system.get('distribution') or system.get('system')}"
    container = environment.get("container") or {}
    if container.get("detected"):
        yield "container", str(container.get("kind") or "yes")
    told = [f"{one.get('name')} ({one.get('basis')})" for one in side.session.meters]
    yield "meters", ", ".join(told) or "none"


def _best(shown: Sequence[Shown]) -> Iterator[Best]:
    """Of metrics that people look for first, where there are numbers."""
    for metric in _TOLD:
        there = [one for one in shown if one.has(metric)]
        if not there:
            continue
        pick = min if METRICS[metric].better == "lower" else max
        one = pick(there, key=lambda it: it.numbers[metric].value)
        yield Best(
            metric=metric,
            title=title(metric),
            unit=METRICS[metric].unit,
            number=one.numbers[metric],
            name=one.name,
            anchor=one.anchor,
        )


def _verdicts(shown: Sequence[Shown]) -> list[Told]:
    """By how bad they are, the worst first."""
    found = []
    for verdict in _WORST:
        names = [one.name for one in shown if one.verdict == verdict]
        if names:
            found.append(_told(verdict, _VERDICTS[verdict], names))
    return found


_VERDICTS = {
    "regression": "worse than the reference by more than the limit, and beyond noise",
    "exceeded": "over an absolute budget",
    "incomparable": "something was not as in the reference that has to be",
    "inconclusive": "cannot be judged: too few sessions, or numbers not to be believed",
    "pass": "no worse than the limit allows, as far as noise lets one see",
}


def _flags(shown: Sequence[Shown]) -> list[Told]:
    """Those that most experiments have come first."""
    names: dict[str, list[str]] = {}
    for one in shown:
        for flag in one.flags:
            names.setdefault(flag, []).append(one.name)
    told = [
        _told(short(flag), FLAGS.get(flag, "see the record"), some)
        for flag, some in sorted(names.items())
    ]
    return sorted(told, key=lambda one: -one.count)


def _no_energy(shown: Sequence[Shown]) -> list[Told]:
    """Why experiments that ran have no energy per output token."""
    names: dict[str, list[str]] = {}
    for one in shown:
        if not one.has(HEADLINES[0]) and one.numbers:
            reason = one.nulls.get(f"summary.{HEADLINES[0]}", "unknown")
            names.setdefault(reason, []).append(one.name)
    return [_told(short(reason), "", some) for reason, some in names.items()]


def _told(word: str, meaning: str, names: Sequence[str]) -> Told:
    some = list(dict.fromkeys(names))
    return Told(word=word, meaning=meaning, names=some[:MOST_NAMES], count=len(some))
