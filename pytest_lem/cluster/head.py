"""Ray's head, where it keeps its books, watched by ourselves.

Ray asks for a lost one for a minute, in which its calls do not return, and then ends
the process that asked.
"""

from __future__ import annotations

import socket
import time
from typing import Any

_WITHIN_S = 30.0
_ANSWERS_S = 2.0
_REMEDY = "start the cluster again, and --lem-resume goes on"


class Head:
    """Whether the head of a cluster answers, and is the one that it was.

    `lost` says why it will not any more. `cut` says that with it everything is.
    """

    def __init__(self, address: str | None) -> None:
        self.lost: str | None = None
        self.cut = False
        self._address = address
        self._silent_since_s: float | None = None
        self._cluster = _cluster(address) if address else None

    def answers(self) -> bool:
        """Whether it does now. One behind Ray's client server is not asked."""
        if self._address is None or self.lost:
            return not self.lost
        now = time.monotonic()
        if why := _unreachable(self._address):
            since_s = self._silent_since_s = self._silent_since_s or now
            if now - since_s > _WITHIN_S:
                self.lost = (
                    f"Ray's head at {self._address} does not answer any more ({why}): "
                    f"{_REMEDY}"
                )
            return False
        if self._silent_since_s and _cluster(self._address) != self._cluster:
            self.lost = (
                f"Ray's head at {self._address} was started anew and knows nothing of "
                f"this session: {_REMEDY}"
            )
            return False
        self._silent_since_s = None
        return True

    def disconnect(self, why: str) -> None:
        """Note that Ray's client server has ended the connection."""
        self.lost, self.cut = f"Ray's client server let go ({why}): {_REMEDY}", True


def _unreachable(address: str) -> str | None:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_ANSWERS_S):
            return None
    except OSError as error:
        return error.strerror or str(error)


def _cluster(address: str) -> Any:
    """What Ray calls this cluster; another one where its head lost its books."""
    from ray import _raylet

    books: Any = _raylet
    return books.GcsClient(address=address).cluster_id
