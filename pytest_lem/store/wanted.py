"""What is looked for in a store, and what is told of what was found: pure data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Conditions that all hold; None is no condition, `limit` the newest so many.

    `keys` and `identity` may be the first digits of one, `experiment` is a whole id.
    Each word of `text` stands somewhere in the experiment's id, its model or backend or
    the session's name, or is how the key or the identity begins. `since` and `until`
    are ISO dates or times, of this machine's zone where none is said; days are whole.
    """

    keys: Sequence[str] = ()
    identity: str | None = None
    experiment: str | None = None
    backend: str | None = None
    model: str | None = None
    label: str | None = None
    session: str | None = None
    gpu: str | None = None
    verdict: str | None = None
    flag: str | None = None
    text: str | None = None
    since: str | None = None
    until: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A label, how many sessions and records have it, and when the latest began."""

    label: str
    sessions: int
    records: int
    latest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A metric over the cycles of a record, in its unit."""

    value: float
    ci_low: float | None
    ci_high: float | None
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is known of a record without reading it; `started_at` is UTC."""

    key: str
    session: str
    status: str
    experiment_id: str
    identity: str
    backend: str | None
    model: str | None
    precision: str | None
    engine_version: str | None
    gpu: str | None
    started_at: str
    cycles: int
    synthetic: bool
    flags: tuple[str, ...]
    verdict: str | None
    labels: tuple[str, ...] = ()
    metrics: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some records in their order, and `after` which the next page begins.

    `count` is how many there are on all pages; more than that where `uncounted`.
    """

    records: Sequence[Found]
    after: str | None
    count: int
    uncounted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What records in a store can be chosen by: the values that there are, in order."""

    backends: Sequence[str]
    models: Sequence[str]
    gpus: Sequence[str]
    verdicts: Sequence[str]
    flags: Sequence[str]
    labels: Sequence[str]
