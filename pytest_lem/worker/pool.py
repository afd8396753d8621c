"""One live engine at a time, kept while the next piece of work asks for the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial

from pytest_lem.worker.client import EngineClient


class EnginePool:
    """Holds at most one engine, so that no two ever share a device.

    `problems` gathers, one line each, what went wrong while engines were closed. An
    engine that is still held when the interpreter ends is killed then. `unloaded` is
    called with an engine between its unload and its end, and may add a line.
    """

    def __init__(
        self, unloaded: Callable[[EngineClient], str | None] = lambda _client: None
    ) -> None:
        self._unloaded = unloaded
        self.problems: list[str] = []
        self._key: Hashable = None
        self._client: EngineClient | None = None

    def get(self, key: Hashable, start: Callable[[], EngineClient]) -> EngineClient:
        """The live engine of that key where it is usable, else a newly started one."""
        if self._client and self.holds(key):
            return self._client
        self.drop()
        self._key, self._client = key, start()
        return self._client

    def holds(self, key: Hashable) -> bool:
        """Whether `get` would give an engine that lives already."""
        client = self._client
        return client is not None and client.usable and self._key == key

    def drop(self) -> None:
        """Close the live engine, if there is one; the next `get` starts another."""
        client, self._client = self._client, None
        if client is None:
            return
        unloaded = partial(self._unloaded, client)
        if problem := client.close(unloaded):
            self.problems.append(problem)

    def close(self) -> None:
        """Close what is left."""
        self.drop()

    def kill(self) -> None:
        """Kill the live engine's whole group at once."""
        client, self._client = self._client, None
        if client and (problem := client.kill()):
            self.problems.append(problem)
