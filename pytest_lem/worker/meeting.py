"""Where ranks wait for each other before a window, over a socket for each of them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from pytest_lem.errors import GenerationError


class Meeting:
    """The host's side: lets the ranks go on once all of them are there."""

    def __init__(self, ranks: int) -> None:
        pairs = [socket.socketpair() for _ in range(ranks)]
        self._hosts = [host for host, _ in pairs]
        self.guests = [guest for _, guest in pairs]

    def open(self) -> None:
        """Close the guests' ends on this side: a rank that dies is then noticed."""
        for guest in self.guests:
            guest.close()

    def hold(self, ranks: Sequence[int]) -> None:
        """Wait for these ranks, then release them; not if one of them is gone."""
        if all(self._hosts[rank].recv(1) for rank in ranks):
            for rank in ranks:
                self._hosts[rank].sendall(b"g")


def meeting_at(fd: int) -> Callable[[], None]:
    """A rank's side: a call that returns when all ranks have called."""
    guest = socket.socket(fileno=fd)

    def meet() -> None:
        guest.sendall(b"h")
        if not guest.recv(1):
            msg = "the ranks cannot meet: their host is gone"
            raise GenerationError(msg)

    return meet
