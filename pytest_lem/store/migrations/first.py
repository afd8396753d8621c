"""Version 1: the tables as they were first."""

from alembic.operations import Operations
from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)


def upgrade(op: Operations) -> None:
    """Make all tables."""
    machine = ForeignKey("lem_environments.id")
    op.create_table("lem_version", Column("version", Integer, nullable=False))
    op.create_table(
        "lem_environments",
        Column("id", Integer, primary_key=True),
        Column("sha256", String(64), nullable=False, unique=True),
        Column("gpu", Text),
        Column("driver_version", Text),
        Column("document", Text, nullable=False),
    )
    op.create_table(
        "lem_sessions",
        Column("id", Integer, primary_key=True),
        Column("name", Text, nullable=False),
        Column("started_at", String(24), nullable=False),
        Column("plugin_version", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("environment_id", Integer, machine, nullable=False),
        Column("document", Text, nullable=False),
        UniqueConstraint("name", "started_at", name="uq_lem_sessions"),
    )
    _records(op)
    _parts_of_records(op)
    op.create_table(
        "lem_blobs",
        Column("sha256", String(64), primary_key=True),
        Column("content", LargeBinary, nullable=False),
    )
    for table, *columns in (
        ("sessions", "environment_id"),
        ("records", "session_id"),
        ("records", "started_at"),
        ("cycles", "arrays_sha256"),
        ("labels", "label"),
    ):
        name = f"ix_lem_{table}_{columns[0]}"
        op.create_index(name, f"lem_{table}", columns)
    for column in ("identity", "model"):
        name = f"ix_lem_records_{column}"
        op.create_index(name, "lem_records", [column, "started_at"])


def _records(op: Operations) -> None:
    session = ForeignKey("lem_sessions.id", ondelete="CASCADE")
    op.create_table(
        "lem_records",
        Column("id", Integer, primary_key=True),
        Column("key", String(16), nullable=False, unique=True),
        Column("session_id", Integer, session, nullable=False),
        Column("position", Integer, nullable=False),
        Column("experiment_id", Text, nullable=False),
        Column("identity", String(16), nullable=False),
        Column("backend", Text),
        Column("model", Text),
        Column("precision", Text),
        Column("engine_version", Text),
        Column("started_at", String(24), nullable=False),
        Column("cycles", Integer, nullable=False),
        Column("synthetic", Boolean, nullable=False),
        Column("flags", Text, nullable=False),
        Column("verdict", Text),
        Column("sha256", String(64), nullable=False),
        Column("document", Text, nullable=False),
    )


def _parts_of_records(op: Operations) -> None:
    op.create_table(
        "lem_metrics",
        _of_record(),
        Column("metric", String(64), primary_key=True),
        Column("value", Float(53), nullable=False),
        Column("ci_low", Float(53)),
        Column("ci_high", Float(53)),
        Column("n", Integer, nullable=False),
    )
    op.create_table(
        "lem_cycles",
        _of_record(),
        Column("position", Integer, primary_key=True, autoincrement=False),
        Column("cycle", Integer, nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("status", Text, nullable=False),
        Column("started_at", String(24), nullable=False),
        Column("arrays_sha256", String(64)),
        Column("document", Text, nullable=False),
    )
    op.create_table(
        "lem_windows",
        _of_record(),
        Column("cycle_position", Integer, primary_key=True, autoincrement=False),
        Column("position", Integer, primary_key=True, autoincrement=False),
        Column("kind", Text, nullable=False),
        Column("duration_s", Float(53), nullable=False),
        Column("gross_j", Float(53)),
        Column("document", Text, nullable=False),
    )
    op.create_table(
        "lem_labels", _of_record(), Column("label", String(200), primary_key=True)
    )


def _of_record() -> Column[int]:
    record = ForeignKey("lem_records.id", ondelete="CASCADE")
    return Column("record_id", Integer, record, primary_key=True, autoincrement=False)
