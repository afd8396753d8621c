"""Requests that are sent one by one to an engine that generates in whole batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pytest_lem.engines import Completion, GenerateOptions
from pytest_lem.engines.clients import Clients, Round, in_rounds
from pytest_lem.engines.transformers.requests import Batch, Outcome

Ran = tuple[Batch, Outcome]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Queue:
    """All requests of a pass; which of them share a batch is told by their times.

    `make` has a batch of the requests of these places.
    A batch is padded and brought to the device when it is formed: within the window.
    """

    requests: int
    make: Callable[[list[int]], Batch]

    def serve(
        self, options: GenerateOptions, run: Callable[[Batch], Outcome]
    ) -> Served:
        """Run whatever waits as one batch, up to `batch_size`, until all are done."""

        def one(places: list[int]) -> Ran:
            batch = self.make(places)
            return batch, run(batch)

        rounds, clients = in_rounds(self.requests, options, one)
        return Served(rounds=rounds, clients=clients)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Served:
    """The batches that were formed, in their order, and who sent their requests."""

    rounds: Sequence[Round[Ran]]
    clients: Clients

    @property
    def batches(self) -> list[Batch]:
        """Each batch as it was formed."""
        return [one.outcome[0] for one in self.rounds]

    @property
    def outcomes(self) -> list[Outcome]:
        """What came of each batch."""
        return [one.outcome[1] for one in self.rounds]

    @property
    def spans(self) -> list[tuple[int, int]]:
        """When each batch began and ended."""
        return [(one.start_ns, one.end_ns) for one in self.rounds]

    def as_sent(self, completions: Sequence[Completion]) -> list[Completion]:
        """Completions in the order of the prompts, from when each was sent."""
        sent = self.clients.sent_ns
        pairs = zip(completions, sent, strict=True)
        return [replace(one, sent_ns=sent_ns) for one, sent_ns in pairs]

    def request_times_ms(self) -> dict[str, list[float]]:
        """How long each request waited until its batch began."""
        began = {place: one.start_ns for one in self.rounds for place in one.places}
        sent = enumerate(self.clients.sent_ns)
        return {"queue": [(began[place] - at_ns) / 1e6 for place, at_ns in sent]}
