"""What an engine leaves in the GPUs' memory: before its load, after its unload."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pytest_lem.machine.memory import used
from pytest_lem.machine.processes import family
from pytest_lem.records.extended import Residue
from pytest_lem.worker.client import EngineClient

# Drivers take memory back some time after its owner has let it go.
PATIENCE_S = 5.0
_POLL_S = 0.2


@dataclass(slots=True, kw_only=True)
class Leftovers:
    """Memory of the live engine's processes, and what the engines before it left.

    `found` has the worst of each spec. `limit_mb` is how much more than before the load
    an unloaded engine may hold.
    """

    gpus: Sequence[str]
    limit_mb: float
    wait: Callable[[float], None]
    found: dict[str, Residue] = field(default_factory=dict)
    _spec: str | None = None
    _before_mb: float = 0.0
    _unknown: str | None = None

    def before(self, client: EngineClient) -> None:
        """An engine is about to be loaded."""
        self._spec = None
        self._before_mb = self._held(client) or 0.0

    def loaded(self, client: EngineClient, spec: str, *, on_gpu: bool) -> None:
        """It was. Only whom the driver sees now can be missed by it afterwards."""
        self._spec = spec
        seen = used(
            self.gpus if on_gpu else (), family(client.pid, inside=client.inside)
        )
        self._unknown = seen.process_unknown

    def unloaded(self, client: EngineClient) -> str | None:
        """It was unloaded and its process lives: one line where it holds too much."""
        if self._spec is None:
            return None
        if self._unknown is not None:
            self.found.setdefault(self._spec, Residue(mb=None, reason=self._unknown))
            return None
        mb = self._settled(client)
        over = mb > self.limit_mb
        worst = self.found.get(self._spec)
        if worst is None or worst.mb is None or mb > worst.mb:
            self.found[self._spec] = Residue(mb=mb, over=over)
        if not over:
            return None
        return (
            f"{client.name} held {mb:.0f} MB of GPU memory more after its unload than "
            f"before its load (lem_residual_memory_mb is {self.limit_mb:g})"
        )

    def _settled(self, client: EngineClient) -> float:
        """MB above those before the load, once it is little or patience has ended."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            mb = max(0.0, (self._held(client) or 0.0) - self._before_mb)
            if mb <= self.limit_mb or time.monotonic() >= deadline_s:
                return mb
            self.wait(_POLL_S)

    def _held(self, client: EngineClient) -> float | None:
        return used(self.gpus, _processes(client)).process_mb


def _processes(client: EngineClient) -> set[int]:
    return family(client.pid, inside=client.inside)
