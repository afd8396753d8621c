"""The names of meters and where each is made; nothing is imported until it is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points

from pytest_lem.errors import ConfigError, LemError, MeterError
from pytest_lem.machine.gpu import Gpu
from pytest_lem.meters import Meter
from pytest_lem.spec.nearest import unknown

GROUP = "pytest_lem.meters"

Factory = Callable[[str, Sequence[Gpu]], Meter]

_BUILT_IN = {
    "nvml": "pytest_lem.meters.nvml:open_meter",
    "rapl": "pytest_lem.meters.rapl:open_meter",
    "zeus": "pytest_lem.meters.zeus:open_meter",
    "codecarbon": "pytest_lem.meters.codecarbon:open_meter",
    "replay": "pytest_lem.meters.replay:open_meter",
    "fake": "pytest_lem.meters.fake:open_meter",
    "cluster": "pytest_lem.cluster.meter:open_meter",
}
_CHOICES = (
    "auto",
    "nvml",
    "rapl",
    "zeus",
    "codecarbon",
    "replay:FILE",
    "fake[:WATTS]",
    "cluster[:METER]",
    "none",
)
_WITH_ARGUMENT = ("replay", "fake", "cluster")


class Registry:
    """Meters by name, each a factory or where to find it, as `module:factory`.

    A factory is called with the argument after the colon of `name:argument` (or an
    empty string) and the GPUs of the run, and returns a `Meter`, or raises
    `MeterError` with the remedy. Entry points of the group `pytest_lem.meters` are
    looked up when a name is not known otherwise.
    """

    def __init__(self) -> None:
        self._targets: dict[str, str | Factory] = {**_BUILT_IN}

    def add(self, name: str, target: str | Factory) -> None:
        """Make a meter known under a name.

        A name that is taken, or that no option could hold, is a `ConfigError`.
        """
        if not name or set(name) & set(":, "):
            raise ConfigError(
                f"meter {name!r}: a name has no colon, comma or blank; choose another"
            )
        if name in ("auto", "none") or name in self._targets:
            raise ConfigError(f"meter {name!r}: the name is taken; choose another")
        self._targets[name] = target

    def _target(self, name: str) -> str | Factory | None:
        if name in self._targets:
            return self._targets[name]
        found = entry_points(group=GROUP, name=name)
        return next((entry.value for entry in found), None)

    def check(self, name: str) -> None:
        """Raise `ConfigError` if a name is not spelt like any meter's."""
        kind, colon, argument = name.partition(":")
        if kind in ("auto", "none") and not colon:
            return
        plain = kind in ("auto", "none")
        if not plain and self._target(kind) is None:
            raise ConfigError(self._unknown(kind))
        if kind == "replay" and not argument:
            raise ConfigError("meter 'replay' needs a recorded trace: replay:FILE")
        if plain or (colon and kind in _BUILT_IN and kind not in _WITH_ARGUMENT):
            raise ConfigError(
                f"meter {name!r}: {kind} takes no argument; write {kind!r}"
            )

    def _unknown(self, kind: str) -> str:
        installed = [entry.name for entry in entry_points(group=GROUP)]
        others = {*self._targets, *installed} - set(_BUILT_IN)
        return unknown("meter", kind, [*_CHOICES, *others])

    def open(self, name: str, gpus: Sequence[Gpu]) -> Meter:
        """The meter of that name, ready to be polled."""
        self.check(name)
        kind, _, argument = name.partition(":")
        target = self._target(kind)
        assert target is not None
        make = _loaded(kind, target) if isinstance(target, str) else target
        try:
            return make(argument, gpus)
        except LemError:
            raise
        except Exception as error:
            raise MeterError(
                f"{kind}: making it raised {type(error).__name__}: {error}"
            ) from error


def _loaded(kind: str, target: str) -> Factory:
    module, _, factory = target.partition(":")
    try:
        make: Factory = getattr(importlib.import_module(module), factory)
    except (ImportError, AttributeError) as error:
        raise MeterError(
            f"{kind}: {target} cannot be loaded ({error}); "
            "install or update the package that offers it"
        ) from error
    return make


def check_names(names: Sequence[str], registry: Registry | None = None) -> None:
    """Raise `ConfigError` for the first name that no meter has; loads no meter."""
    registry = registry or Registry()
    for name in names:
        registry.check(name)
    if "none" in names and len(names) > 1:
        raise ConfigError(
            f"meter 'none' stands alone, got {', '.join(names)}; drop one or the other"
        )
