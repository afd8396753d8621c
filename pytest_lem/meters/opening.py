"""From names of meters to meters that are ready to start."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_lem.errors import MeterError
from pytest_lem.machine.gpu import Gpu, absence
from pytest_lem.meters import Meter, Telling
from pytest_lem.meters.intake import close
from pytest_lem.meters.metering import Metering
from pytest_lem.meters.registry import Registry, check_names


def open_meters(
    names: Sequence[str],
    *,
    gpus: Sequence[Gpu],
    registry: Registry | None = None,
    telemetry_s: float = 0.1,
    shared: bool = False,
) -> Metering:
    """The meters of those names, ready to start; GPUs tell facts every `telemetry_s`.

    `auto` takes NVML where there are GPUs and RAPL where it can be read, else
    CodeCarbon's model, else no meter and the reasons; where the machine is `shared`
    with others that measure, NVML alone. A name that is not a meter's
    raises `ConfigError`; a named meter that cannot work raises `MeterError`.
    """
    registry = registry or Registry()
    check_names(names, registry)
    parents = {gpu.uuid: gpu.mig_parent for gpu in gpus if gpu.mig_parent}
    meters: list[Meter] = []
    reasons: list[str] = []
    try:
        for name in dict.fromkeys(names):
            if name == "auto":
                kinds = ("nvml",) if shared else ("nvml", "rapl", "codecarbon")
                _open_what_there_is(
                    registry, gpus, meters, reasons, kinds=kinds, besides=names
                )
            elif name != "none":
                meters.append(registry.open(name, gpus))
        for meter in meters:
            if isinstance(meter, Telling):
                meter.telemetry_s = telemetry_s
        absent = "no_meter: " + ("; ".join(reasons) or "none was asked for")
        return Metering(meters, absent=absent, parents=parents)
    except BaseException:
        for meter in meters:
            close(meter)
        raise


def _open_what_there_is(
    registry: Registry,
    gpus: Sequence[Gpu],
    meters: list[Meter],
    reasons: list[str],
    *,
    kinds: Sequence[str],
    besides: Sequence[str],
) -> None:
    """Open what `auto` means here into `meters`; why not the rest goes to `reasons`.

    NVML where there are GPUs and RAPL where it can be read; if neither, CodeCarbon's
    model; of these, the `kinds` that may be. Meters named `besides` are left to
    their own turn.
    """
    already = len(meters)

    def attempt(name: str) -> None:
        try:
            if name in kinds and name not in besides:
                meters.append(registry.open(name, gpus))
        except MeterError as error:
            reasons.append(error.message.partition("; ")[0])

    if gpus:
        attempt("nvml")
    else:
        reasons.append(f"nvml: {absence() or 'no GPU was selected'}")
    attempt("rapl")
    if len(meters) == already:
        attempt("codecarbon")
