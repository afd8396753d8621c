"""The tables of a store, as queries see them; `migrations` makes and changes them.

What is looked for has a column. All else is in `document`, the JSON of that part of the
record, so that what was written is read again whole. Times are UTC, as text that sorts.
"""

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

version = Table("lem_version", metadata, Column("version", Integer, nullable=False))

environments = Table(
    "lem_environments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("driver_version", Text),
    Column("document", Text, nullable=False),
)

sessions = Table(
    "lem_sessions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("started_at", String(24), nullable=False),
    Column("plugin_version", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column(
        "environment_id", ForeignKey("lem_environments.id"), nullable=False, index=True
    ),
    Column("document", Text, nullable=False),
    UniqueConstraint("name", "started_at", name="uq_lem_sessions"),
)

records = Table(
    "lem_records",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(16), nullable=False, unique=True),
    Column(
        "session_id",
        ForeignKey("lem_sessions.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("position", Integer, nullable=False),
    Column("experiment_id", Text, nullable=False),
    Column("identity", String(16), nullable=False),
    Column("backend", Text),
    Column("model", Text),
    Column("precision", Text),
    Column("engine_version", Text),
    Column("gpu", Text),
    Column("started_at", String(24), nullable=False),
    Column("cycles", Integer, nullable=False),
    Column("synthetic", Boolean, nullable=False),
    Column("flags", Text, nullable=False),
    Column("verdict", Text),
    Column("sha256", String(64), nullable=False),
    Index("ix_lem_records_identity", "identity", "started_at"),
    Index("ix_lem_records_model", "model", "started_at"),
    Index("ix_lem_records_backend", "backend", "started_at"),
    Index("ix_lem_records_gpu", "gpu", "started_at"),
    Index("ix_lem_records_verdict", "verdict", "started_at"),
    Index("ix_lem_records_experiment_id", "experiment_id", "started_at"),
    Index("ix_lem_records_started_at", "started_at", "id"),
)

# Apart, so that records stay narrow: thousands of them are looked through at once.
documents = Table(
    "lem_documents",
    metadata,
    Column(
        "record_id", ForeignKey("lem_records.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("document", Text, nullable=False),
)

metrics = Table(
    "lem_metrics",
    metadata,
    Column(
        "record_id", ForeignKey("lem_records.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("metric", String(64), primary_key=True),
    Column("value", Float(53), nullable=False),
    Column("ci_low", Float(53)),
    Column("ci_high", Float(53)),
    Column("n", Integer, nullable=False),
    Index("ix_lem_metrics_value", "metric", "value", "record_id"),
)

cycles = Table(
    "lem_cycles",
    metadata,
    Column(
        "record_id", ForeignKey("lem_records.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("cycle", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("started_at", String(24), nullable=False),
    Column("arrays_sha256", String(64), index=True),
    Column("document", Text, nullable=False),
)

windows = Table(
    "lem_windows",
    metadata,
    Column(
        "record_id", ForeignKey("lem_records.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("cycle_position", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("duration_s", Float(53), nullable=False),
    Column("gross_j", Float(53)),
    Column("document", Text, nullable=False),
)

labels = Table(
    "lem_labels",
    metadata,
    Column(
        "record_id", ForeignKey("lem_records.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("label", String(200), primary_key=True, index=True),
)

blobs = Table(
    "lem_blobs",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)
