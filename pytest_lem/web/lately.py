"""What changes seldom and takes a look at every record: as it was a moment ago."""

import time

from pytest_lem.store.store import Store
from pytest_lem.store.wanted import Choices

KEPT_S = 60.0


class Lately:
    """What the records of a store can be chosen by, a minute old at most."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: tuple[float, Choices] | None = None

    @property
    def choices(self) -> Choices:
        """The values that there were."""
        now_s = time.monotonic()
        if self._read is None or now_s - self._read[0] > KEPT_S:
            self._read = (now_s, self._store.choices())
        return self._read[1]
