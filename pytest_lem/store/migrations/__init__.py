"""The versions of a store's tables, and the steps from each to the next.

Alembic's operations write the SQL, of each database its own. Its folder of scripts and
its `env.py` are not used: a package cannot have a module that acts when it is imported,
and versions that are numbers can be told to be newer than this program.
"""

from collections.abc import Callable

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, delete, insert, inspect, select

from pytest_lem.errors import StoreError
from pytest_lem.store.database import writing
from pytest_lem.store.migrations import first, second
from pytest_lem.store.tables import version

STEPS: tuple[Callable[[Operations], None], ...] = (first.upgrade, second.upgrade)


def bring_up(engine: Engine, name: str, *, create: bool) -> None:
    """Make the tables those of this program, in one transaction.

    Raises StoreError where they are of a newer one, or where there are none and none
    are to be made.
    """
    with engine.connect() as connection:
        found = _version(connection)
    if found == 0 and not create:
        raise StoreError(f"{name} holds no results of pytest-lem")
    if found > len(STEPS):
        raise StoreError(
            f"{name} has version {found} of the tables, and this pytest-lem knows "
            f"{len(STEPS)}: it was written by a newer one"
        )
    if found < len(STEPS):
        with writing(engine) as connection:
            _migrate(connection)


def _version(connection: Connection) -> int:
    if not inspect(connection).has_table(version.name):
        return 0
    found: int = connection.execute(select(version.c.version)).scalar_one()
    return found


def _migrate(connection: Connection) -> None:
    """Others may have been here before the lock was ours."""
    operations = Operations(MigrationContext.configure(connection))
    for step in STEPS[_version(connection) :]:
        step(operations)
    connection.execute(delete(version))
    connection.execute(insert(version).values(version=len(STEPS)))
