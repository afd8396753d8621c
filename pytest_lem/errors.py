"""The kinds of failure; every kind has one name that records and users see."""

from __future__ import annotations


class LemError(Exception):
    """A failure of the plugin's own making, told in one line.

    `kind` is the name written to records; `detail` is longer text (a worker's
    log tail, a remote traceback) shown below the line, or empty. What is `transient`
    may pass by itself: `--lem-retries` tries again.
    """

    kind = "error"
    transient = False

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail

    def __str__(self) -> str:
        """The message, and the detail below it."""
        return f"{self.message}\n{self.detail}" if self.detail else self.message


class ConfigError(LemError):
    """What was asked for cannot be: a bad option, marker, model path or prompt file."""

    kind = "config"


class SearchError(LemError):
    """What was searched for was not found."""

    kind = "search"


class EngineNotAvailable(LemError):
    """The engine's library is not installed where the worker runs."""

    kind = "engine_not_available"


class HardwareError(LemError):
    """The machine has not what the engine needs, or a parameter; told before a load.

    A test for which that is so is skipped, or fails under `--lem-strict`.
    """

    kind = "hardware"


class EngineLoadError(LemError):
    """The model could not be loaded."""

    kind = "engine_load"


class OutOfMemory(LemError):
    """The device, or the host, has no memory left."""

    kind = "out_of_memory"


class Timeout(LemError):
    """A step of a worker took longer than its limit."""

    kind = "timeout"
    transient = True


class WorkerDied(LemError):
    """The worker's process ended, or fell silent, without an answer."""

    kind = "worker_died"
    transient = True


class GenerationError(LemError):
    """The engine failed while it generated, or did other work than it was asked."""

    kind = "generation"


class MeterError(LemError):
    """A meter that was asked for by name cannot work."""

    kind = "meter"


class IdleError(LemError):
    """Idle power was required and could not be measured."""

    kind = "idle"


class Throttled(LemError):
    """The GPU was slowed down by heat or its power supply, and that may not be."""

    kind = "throttled"
    transient = True


class NotExclusive(LemError):
    """Other processes use a GPU of the run, and that may not be."""

    kind = "not_exclusive"
    transient = True


class NodeLost(LemError):
    """A node of a cluster, or the session on it, ended or fell silent."""

    kind = "node_lost"
    transient = True


class ImpossibleNumber(LemError):
    """What was measured breaks a law: a fault of meter or engine, not a result."""

    kind = "impossible"


class NullMetricError(LemError):
    """A metric without a value was used as a number."""

    kind = "null_metric"


class StoreError(LemError):
    """The store of results cannot be opened, read or written."""

    kind = "store"


class AggregationError(LemError):
    """What several processes wrote of a run is not whole, or does not belong together.

    The line names the run, and what is missing, doubled or not as it was written.
    """

    kind = "aggregation"


_KINDS: dict[str, type[LemError]] = {
    cls.kind: cls
    for cls in (
        LemError,
        ConfigError,
        EngineNotAvailable,
        HardwareError,
        EngineLoadError,
        OutOfMemory,
        Timeout,
        WorkerDied,
        GenerationError,
        MeterError,
        IdleError,
        Throttled,
        NotExclusive,
        NodeLost,
        ImpossibleNumber,
        NullMetricError,
        StoreError,
        AggregationError,
    )
}


def from_kind(kind: str, message: str, *, detail: str = "") -> LemError:
    """The error of that kind, as told by a worker; an unknown kind stays a LemError."""
    return _KINDS.get(kind, LemError)(message, detail=detail)


def is_transient(kind: str) -> bool:
    """Whether a failure of that kind may pass by itself."""
    return _KINDS.get(kind, LemError).transient
