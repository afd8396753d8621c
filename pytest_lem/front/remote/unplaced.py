"""Tests that no node of a cluster fits, for as long as one is waited for."""

import time
from collections.abc import Iterator

from pytest_lem.cluster.pool import Pool
from pytest_lem.cluster.queue import Queue, Task
from pytest_lem.errors import ConfigError
from pytest_lem.front.remote.cluster import Cluster

NODES_WITHIN_S = 60.0
_LOOK_S = 1.0


class Unplaced:
    """What waits for a node with certain properties, and since when there is none."""

    def __init__(self, queue: Queue, cluster: Cluster) -> None:
        self._queue = queue
        self._cluster = cluster
        self._since_s: dict[str, float] = {}
        self._looked_s = 0.0

    def given_up(self) -> Iterator[tuple[Task, ConfigError]]:
        """The tests for which no node has come, and what was wanted; each but once."""
        pool, places = self._cluster.pool, self._cluster.places
        now = time.monotonic()
        if now - self._looked_s < _LOOK_S:
            return
        self._looked_s = now
        for wants, tasks in self._queue.homeless.items():
            if any(places.suits(seat.node, wants) for seat in pool.seats):
                self._since_s.pop(wants, None)
            elif now - self._since_s.setdefault(wants, now) > NODES_WITHIN_S:
                error = ConfigError(self._in_words(pool, wants))
                yield from ((task, error) for task in tasks)

    def _in_words(self, pool: Pool, wants: str) -> str:
        nodes = [
            f"{node}: {self._cluster.places.against(node, wants) or 'takes no part'}"
            for node in pool.nodes
        ]
        there = [f"{name}: {why}" for name, why in pool.left_out.items()]
        return (
            f"placement ({wants}) fits no node that came within {NODES_WITHIN_S:g} s; "
            + "; ".join(dict.fromkeys([*nodes, *there]))
        )
