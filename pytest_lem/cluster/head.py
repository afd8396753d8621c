"""Ray's head, where it keeps its books: read by ourselves, and watched.

Ray's own calls wait for a lost head for a minute and then end the process; of one that
was started anew they end it at once. A client of our own is told what went wrong.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytest_lem.cluster.connect import unreachable
from pytest_lem.cluster.nodes import Node, listed, living

_WITHIN_S = 30.0
_ANSWERS_S = 2.0
_ANEW = "WrongClusterID"
_REMEDY = "start the cluster again, and --lem-resume goes on"


class Head:
    """Whether the head of a cluster answers, and is the one that it was.

    `lost` says why it will not any more. `cut` says that with it everything is.
    Without an address it is behind Ray's client server, and is asked by that.
    """

    def __init__(self, address: str | None) -> None:
        self.lost: str | None = None
        self.cut = False
        self._address = address
        self._silent_since_s: float | None = None
        self._books = _books(address) if address else None

    def nodes(self) -> list[Node]:
        """The living nodes; none while it does not answer."""
        import ray

        if self.lost:
            return []
        if self._address is None or self._books is None:
            return [*living()]
        if error := unreachable(self._address, _ANSWERS_S):
            self._note_silence(error.strerror or str(error))
            return []
        try:
            found = [*listed(self._books.get_all_node_info(timeout=_ANSWERS_S))]
        except ray.exceptions.RayError as refused:
            self._note(str(refused))
            return []
        self._silent_since_s = None
        return found

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Take down that Ray's client server is gone, where that ends what is within.

        Its client has tried for half a minute by then.
        """
        try:
            yield
        except ConnectionError as error:
            told = " ".join(str(error).split())
            self.lost = (
                f"Ray's client server does not answer any more ({told}): {_REMEDY}"
            )
            self.cut = True

    def _note(self, why: str) -> None:
        if _ANEW not in why:
            self._note_silence(why)
            return
        self.lost = (
            f"Ray's head at {self._address} was started anew and knows nothing of "
            f"this session: {_REMEDY}"
        )

    def _note_silence(self, why: str) -> None:
        now = time.monotonic()
        since_s = self._silent_since_s = self._silent_since_s or now
        if now - since_s > _WITHIN_S:
            self.lost = (
                f"Ray's head at {self._address} does not answer any more ({why}): "
                f"{_REMEDY}"
            )


def _books(address: str) -> Any:
    from ray import _raylet

    raylet: Any = _raylet
    return raylet.GcsClient(address=address)
