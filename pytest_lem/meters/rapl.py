"""CPU packages and memory through the kernel's powercap interface (RAPL)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError, MeterError
from pytest_lem.machine.gpu import Gpu
from pytest_lem.meters import Basis, Device, Reading, Scope, Telemetry

POWERCAP = Path("/sys/class/powercap")
# RAPL counters are renewed about every millisecond (Intel SDM vol. 3B, 16.10).
_REFRESH_S = 0.001
_POLL_S = 0.1
# A counter that falls has wrapped, unless that would take more than any CPU can draw.
_MOST_W = 10_000.0


class RaplMeter:
    """Package and memory domains; what lies inside a package is not added to it.

    psys holds the packages, and core and uncore lie inside them, so only `package-*`
    and `dram` are read. A domain that mirrors another (same name, equal counter, as
    under `intel-rapl-mmio` or on some multi-die CPUs) is left out.
    """

    name = "rapl"
    version = "powercap"
    basis: Basis = "measured"
    accuracy = (
        "the CPU vendor's energy counters: of the whole host, not only of this process"
    )

    def __init__(self, root: Path = POWERCAP) -> None:
        self.period_s = _POLL_S
        self._errors: Counter[str] = Counter()
        self._mirrors: list[str] = []
        found = _find(root)
        # Virtual machines and some boards have zones that count nothing.
        self._silent = [one.path.name for one in found if one.raw_uj == 0]
        self._domains = self._distinct([one for one in found if one.raw_uj > 0])
        if not self._domains:
            raise MeterError(
                f"rapl: every counter in {root} stays at 0; it needs a CPU whose RAPL "
                "counts, and most virtual machines have none"
            )

    def _distinct(self, found: Sequence[_Domain]) -> list[_Domain]:
        kept: list[_Domain] = []
        for domain in found:
            same = [other for other in kept if other.name == domain.name]
            if any(_mirror(other, domain) for other in same):
                self._mirrors.append(domain.path.name)
                continue
            if same:
                domain.name = f"{domain.name}@{domain.path.name}"
            kept.append(domain)
        return kept

    def devices(self) -> list[Device]:
        """The domains, by name; memory is named after its package."""
        return [
            Device(id=d.name, scope=d.scope, name=d.name, refresh_s=_REFRESH_S)
            for d in self._domains
        ]

    def poll(self) -> tuple[list[Reading], list[Telemetry], float]:
        """Read every domain; one that has vanished is counted and left out."""
        readings: list[Reading] = []
        failure: OSError | None = None
        for domain in self._domains:
            try:
                readings.append(domain.read())
            except OSError as error:
                self._errors[f"{domain.name}: {error.strerror or error}"] += 1
                failure = error
        if failure is not None and not readings:
            raise failure
        return readings, [], _POLL_S

    def facts(self) -> dict[str, Any]:
        """Where each domain was found, mirrors and dead ones left out, and errors."""
        return {
            "domains": {domain.name: str(domain.path) for domain in self._domains},
            "mirrors": list(self._mirrors),
            "silent": list(self._silent),
            "errors": dict(self._errors),
        }

    def close(self) -> None:
        """Nothing is held open."""


class _Domain:
    """One powercap zone: a counter in microjoules that wraps at its range."""

    def __init__(self, path: Path, name: str, scope: Scope) -> None:
        self.path = path
        self.name = name
        self.scope = scope
        self._range_uj = _number(path / "max_energy_range_uj")
        self.raw_uj = self.counter_uj()
        self._last_s = time.monotonic()
        self._total_uj = 0

    def counter_uj(self) -> int:
        """The raw counter."""
        return int((self.path / "energy_uj").read_text())

    def read(self) -> Reading:
        """The energy since the first read, over any wraps; from 0 again after a reset.

        Between two reads there is at most one wrap: the range lasts a minute or more.
        """
        before_s = time.monotonic()
        raw_uj = self.counter_uj()
        after_s = time.monotonic()
        rise_uj = raw_uj - self.raw_uj
        if rise_uj < 0:
            rise_uj += self._range_uj or 0
            most_uj = _MOST_W * (after_s - self._last_s + 1) * 1e6
            if not 0 <= rise_uj <= most_uj:
                self._total_uj = rise_uj = 0
        self.raw_uj, self._last_s = raw_uj, after_s
        self._total_uj += rise_uj
        return Reading(
            device=self.name,
            before_s=before_s,
            after_s=after_s,
            energy_j=self._total_uj / 1e6,
        )


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text()) or None
    except (OSError, ValueError):
        return None


def _find(root: Path) -> list[_Domain]:
    """The readable package and memory domains below a powercap directory."""
    if not root.is_dir():
        raise MeterError(
            f"rapl: {root} is absent; it needs a CPU with RAPL and, in a container, "
            f"a read-only bind mount of {root}"
        )
    domains = []
    for path in sorted(root.iterdir()):
        label = _label(path)
        if label is None:
            continue
        name, scope = label
        try:
            domains.append(_Domain(path, name, scope))
        except PermissionError as error:
            raise MeterError(
                f"rapl: {path / 'energy_uj'} cannot be read (permission denied); "
                f"as root: chmod a+r {path / 'energy_uj'} (a udev rule keeps it), or "
                "in a container a read-only bind mount of a readable powercap tree"
            ) from error
        except (OSError, ValueError) as error:
            raise MeterError(
                f"rapl: {path / 'energy_uj'} cannot be read ({error})"
            ) from error
    if not domains:
        raise MeterError(
            f"rapl: {root} has no package or dram domain; it needs a CPU with RAPL "
            "and the kernel module intel_rapl_msr"
        )
    return domains


def _label(path: Path) -> tuple[str, Scope] | None:
    """Name and scope of a zone that counts, `None` for any other entry."""
    own = _name(path)
    if own.startswith("package"):
        return own, "cpu"
    if own != "dram":
        return None
    parent = path.with_name(path.name.rpartition(":")[0])
    return f"{_name(parent) or parent.name}/dram", "dram"


def _name(path: Path) -> str:
    try:
        return (path / "name").read_text().strip()
    except OSError:
        return ""


def _mirror(one: _Domain, other: _Domain) -> bool:
    """Whether two zones show one counter: the other's value lies between two reads."""
    try:
        first_uj, middle_uj, last_uj = (
            one.counter_uj(),
            other.counter_uj(),
            one.counter_uj(),
        )
    except OSError:
        return False
    return first_uj <= middle_uj <= last_uj


def open_meter(argument: str, gpus: Sequence[Gpu]) -> RaplMeter:
    """The RAPL meter of this machine."""
    del gpus
    if argument:
        raise ConfigError(f"meter rapl takes no argument, got {argument!r}")
    return RaplMeter(POWERCAP)
