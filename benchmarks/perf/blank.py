"""Parts of records that nothing is said of, for those who need some and mean others."""

from collections.abc import Sequence
from typing import Any

from pytest_lem.records.record import Cycle, ExperimentRecord, Plan, Record, Session

_GROUPS = ("worker", "effective", "model", "native", "timing", "prompts", "metrics")


def session(**changed: Any) -> Session:
    """A complete session."""
    values = {
        "id": "s",
        "started_at": "2026-01-01T00:00:00.000+00:00",
        "plugin_version": "0",
        "command": ["pytest"],
        "label": None,
        "order": "interleaved",
        "seed": 0,
        "git": None,
        "meters": [],
        "carbon": {},
        "status": "complete",
    }
    return Session.model_validate({**values, **changed})


def cycle(index: int = 0, **changed: Any) -> Cycle:
    """A complete cycle without windows."""
    values = {
        **{name: {} for name in _GROUPS},
        "index": index,
        "status": "complete",
        "error": None,
        "started_at": f"2026-01-01T00:00:{index:02d}.000+00:00",
        "ended_at": f"2026-01-01T00:00:{index:02d}.900+00:00",
        "engine": {"name": "fake", "version": "1"},
        "load": {"duration_s": 1.0, "energy_j": None},
        "warmup": None,
        "idle": None,
        "windows": [],
        "flags": [],
        "nulls": {},
    }
    return Cycle.model_validate({**values, **changed})


def record(
    experiments: Sequence[ExperimentRecord],
    *,
    environment: dict[str, Any] | None = None,
    **changed: Any,
) -> Record:
    """A report of these experiments; the rest is of its session."""
    return Record(
        session=session(**changed),
        environment=environment or {},
        plan=Plan(order="interleaved", seed=0, planned=1, executed=[], skipped=[]),
        experiments=list(experiments),
    )
