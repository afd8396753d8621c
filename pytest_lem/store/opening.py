"""Opening a store, which needs libraries that measuring does not."""

from typing import TYPE_CHECKING

from pytest_lem.errors import ConfigError
from pytest_lem.store.place import Place

if TYPE_CHECKING:
    from pytest_lem.store.store import Store


def open_store(place: Place, *, create: bool = False) -> "Store":
    """The store at a place, its tables brought up to date.

    Raises ConfigError where libraries are missing, StoreError where it cannot be.
    """
    extra = "store" if place.path is not None else "store,postgres"
    try:
        from pytest_lem.store.store import Store

        return Store(place, create=create)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"a store needs {error.name}: pip install 'pytest-lem[{extra}]'"
        ) from error
