"""CPU and memory energy as CodeCarbon models it: an estimate, not a measurement."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from pytest_lem.errors import ConfigError, MeterError
from pytest_lem.machine.gpu import Gpu
from pytest_lem.meters import Basis, Device, Reading, Telemetry

_J_PER_KWH = 3.6e6
_POLL_S = 0.5
# CodeCarbon's own clock must never fire: every measurement is asked for by `flush`.
_NEVER_S = 1e6


class CodeCarbonMeter:
    """CodeCarbon's offline tracker, asked twice a second.

    Each poll calls the tracker's public `flush`, which measures at once and hands the
    cumulative totals to the output handler: no file, no lock, no network. With its
    own load sampling each second that costs about 0.3 % of a core. GPUs are left out:
    CodeCarbon reads the same counter there as NVML does.
    """

    name = "codecarbon"
    basis: Basis = "estimated"
    accuracy = (
        "a model: CPU from its load and thermal design power (from RAPL where "
        "readable), memory from the number and kind of modules; no stated error"
    )

    def __init__(self) -> None:
        self.period_s = _POLL_S
        self._log = _Log()
        try:
            import codecarbon
            from codecarbon.output import BaseOutput
        except ImportError as error:
            why = "not installed" if error.name == "codecarbon" else error
            raise MeterError(
                f"codecarbon: {why}; pip install 'pytest-lem[codecarbon]'"
            ) from error
        self.version = str(codecarbon.__version__)
        self._totals: list[Any] = []
        self._latest: Any = None
        totals = self._totals

        class Collector(BaseOutput):  # type: ignore[misc]  # untyped base class
            """Keeps the totals that a flush hands out."""

            def out(self, total: Any, delta: Any) -> None:
                """Take the totals since the start."""
                del delta
                totals.append(total)

        self._log.divert()
        self._tracker = _tracker(codecarbon, Collector())
        self._tracker.start()
        try:
            self._flush()
        except MeterError:
            self.close()
            raise

    def _flush(self) -> Any:
        """The totals since the start, as of now."""
        self._totals.clear()
        self._tracker.flush()
        if not self._totals:
            why = self._log.error or "it logged no reason"
            raise MeterError(f"codecarbon: its tracker gave no figures: {why}")
        self._latest = self._totals.pop()
        return self._latest

    def devices(self) -> list[Device]:
        """The CPUs of the host together, and its memory."""
        return [
            Device(
                id="codecarbon:cpu",
                scope="cpu",
                name=self._latest.cpu_model or "CPU",
                refresh_s=0.0,
            ),
            Device(
                id="codecarbon:ram",
                scope="dram",
                name=f"{self._latest.ram_total_size:.0f} GB RAM",
                refresh_s=0.0,
            ),
        ]

    def poll(self) -> tuple[list[Reading], list[Telemetry], float]:
        """Have the model brought up to now."""
        before_s = time.monotonic()
        total = self._flush()
        after_s = time.monotonic()
        energies_kwh = {
            "codecarbon:cpu": total.cpu_energy,
            "codecarbon:ram": total.ram_energy,
        }
        readings = [
            Reading(
                device=device,
                before_s=before_s,
                after_s=after_s,
                energy_j=energy_kwh * _J_PER_KWH,
            )
            for device, energy_kwh in energies_kwh.items()
        ]
        return readings, [], _POLL_S

    def facts(self) -> dict[str, Any]:
        """Carbon intensity it used (g CO2 per kWh) and where that is from; the CPU.

        `warnings` has what the tracker only logs: a country it does not know, say.
        """
        total = self._latest
        consumed_kwh = total.energy_consumed
        return {
            "carbon_intensity_g_per_kwh": (
                total.emissions * 1e3 / consumed_kwh if consumed_kwh else None
            ),
            "carbon_intensity_of": total.country_iso_code or "world average",
            "cpu_model": total.cpu_model,
            "cpu_power_w": total.cpu_power,
            "ram_power_w": total.ram_power,
            "tracking_mode": total.tracking_mode,
            "warnings": list(self._log.warnings),
        }

    def close(self) -> None:
        """Stop the tracker and give its log back."""
        self._tracker.stop()
        self._log.give_back()


class _Log:
    """CodeCarbon's log, kept from the terminal.

    Its tracker swallows its own errors and logs them: `error` has the last of them,
    `warnings` what else it warned of, each once.
    """

    def __init__(self) -> None:
        self.error = ""
        self.warnings: list[str] = []
        self._logger = logging.getLogger("codecarbon")
        self._level = self._logger.level

    def filter(self, record: logging.LogRecord) -> bool:
        """Remember what the record says, and let nothing through."""
        error = record.exc_info[1] if record.exc_info else None
        text = " ".join(record.getMessage().split())
        if error is not None:
            self.error = f"{type(error).__name__}: {error}"
        elif record.levelno >= logging.WARNING and text not in self.warnings:
            self.warnings.append(text)
        return False

    def divert(self) -> None:
        """From now on, keep the log here."""
        self._logger.addFilter(self)

    def give_back(self) -> None:
        """Let the log go where it went before."""
        self._logger.removeFilter(self)
        self._logger.setLevel(self._level)


def _tracker(codecarbon: Any, collector: Any) -> Any:
    """An offline tracker that talks to nobody but the collector.

    Everything that a `.codecarbon.config` or the environment could turn into traffic,
    files or a factor on the energy is set here; where the machine stands
    (`country_iso_code`, `region`) is left to them.
    """
    return codecarbon.OfflineEmissionsTracker(
        measure_power_secs=_NEVER_S,
        api_call_interval=-1,
        output_methods=[],
        output_handlers=[collector],
        emissions_endpoint=None,
        electricitymaps_api_token="",
        gpu_ids=[],
        tracking_mode="machine",
        allow_multiple_runs=True,
        log_level="warning",
        pue=1.0,
    )


def open_meter(argument: str, gpus: Sequence[Gpu]) -> CodeCarbonMeter:
    """The CodeCarbon meter of this machine."""
    del gpus
    if argument:
        raise ConfigError(f"meter codecarbon takes no argument, got {argument!r}")
    return CodeCarbonMeter()
