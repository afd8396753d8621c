"""Parts of records that many tests need and none is about."""

from pytest_lem.records.record import Plan, Record, Session


def session(**changed):
    """A session that nothing is said of."""
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
    return Session(**{**values, **changed})


def record(experiments, *, environment=None, **changed):
    """A report of these experiments; the rest is of its session."""
    return Record(
        session=session(**changed),
        environment=environment or {},
        plan=Plan(order="interleaved", seed=0, planned=1, executed=[], skipped=[]),
        experiments=experiments,
    )
