"""Version 2: records are narrow, so that thousands are looked through at once.

Their documents have a table of their own, and the GPU has a column beside what else is
looked for.
"""

from alembic.operations import Operations
from sqlalchemy import Column, ForeignKey, Integer, Text

_INDICES = (
    ("records", "started_at", ("started_at", "id")),
    ("records", "backend", ("backend", "started_at")),
    ("records", "gpu", ("gpu", "started_at")),
    ("records", "verdict", ("verdict", "started_at")),
    ("records", "experiment_id", ("experiment_id", "started_at")),
    ("metrics", "value", ("metric", "value", "record_id")),
)


def upgrade(op: Operations) -> None:
    """Move documents and GPUs, and make the indices of what is sorted and chosen by."""
    record = ForeignKey("lem_records.id", ondelete="CASCADE")
    op.create_table(
        "lem_documents",
        Column("record_id", Integer, record, primary_key=True, autoincrement=False),
        Column("document", Text, nullable=False),
    )
    op.execute("INSERT INTO lem_documents SELECT id, document FROM lem_records")
    op.drop_column("lem_records", "document")
    op.add_column("lem_records", Column("gpu", Text))
    op.execute(
        "UPDATE lem_records SET gpu = (SELECT e.gpu FROM lem_sessions s "
        "JOIN lem_environments e ON e.id = s.environment_id "
        "WHERE s.id = lem_records.session_id)"
    )
    op.drop_column("lem_environments", "gpu")
    op.drop_index("ix_lem_records_started_at", "lem_records")
    for table, name, columns in _INDICES:
        op.create_index(f"ix_lem_{table}_{name}", f"lem_{table}", [*columns])
