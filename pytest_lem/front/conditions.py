"""What the settings and this machine make of every experiment of a session."""

import os
import platform
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.front.program import Program
from pytest_lem.front.settings import Settings
from pytest_lem.machine import gpu
from pytest_lem.machine.cache import user_cache
from pytest_lem.machine.peaks import peak_of
from pytest_lem.machine.processes import Tenancy, tenancies
from pytest_lem.measure.conditions import Conditions
from pytest_lem.measure.cooling import ThermalPolicy
from pytest_lem.measure.idle import IdlePolicy
from pytest_lem.measure.idle_cache import IdleCache
from pytest_lem.measure.laboratory import Laboratory
from pytest_lem.measure.tenants import described
from pytest_lem.meters.metering import Metering
from pytest_lem.spec.experiment import Experiment
from pytest_lem.spec.features import FEATURES
from pytest_lem.spec.gaps import Gaps
from pytest_lem.worker.client import Limits
from pytest_lem.worker.devices import select, share
from pytest_lem.worker.launch.containers import Containers
from pytest_lem.worker.launch.housing import Housing, paths_in
from pytest_lem.worker.launch.image import Image
from pytest_lem.workload.held_out import HeldOut, held_out


def select_gpus(
    settings: Settings,
    program: Program,
    place: tuple[int, int] | None = None,
    most: int = 1,
) -> list[gpu.Gpu]:
    """The GPUs of the run: those asked for, else the first visible one, or `most`.

    With a `place` among several sessions side by side, its share of those asked for,
    else of all visible ones.
    """
    there = {one.uuid: one for one in gpu.discover()}
    on_cpu = [runs_on_cpu(one) for one in program.experiments.values()]
    cpu_asked = bool(on_cpu) and all(on_cpu)
    if not there and not cpu_asked and (problem := gpu.refusal()):
        raise ConfigError(f"{problem}; `lem doctor` helps, or ask for the CPU")
    chosen = select(
        {uuid: one.name for uuid, one in there.items()},
        environ=os.environ,
        asked=settings["gpus"],
        cpu_asked=cpu_asked,
    )
    if place is not None and chosen:
        _refuse_parts_of_one([there[uuid] for uuid in chosen])
        chosen = share(chosen, place, settings["gpus-per-worker"])
    found = [there[uuid] for uuid in chosen]
    return found if settings["gpus"] or place else found[:most]


def _refuse_parts_of_one(gpus: list[gpu.Gpu]) -> None:
    """Raise ConfigError where instances of one GPU would be measured side by side."""
    parents = [one.mig_parent for one in gpus if one.mig_parent]
    for parent in parents:
        if parents.count(parent) > 1:
            parts = [one.uuid for one in gpus if one.mig_parent == parent]
            raise ConfigError(
                f"pytest -n: {', '.join(parts)} are parts of {parent}, whose energy "
                "is read for all of them together: choose one by --lem-gpus"
            )


def runs_on_cpu(experiment: Experiment) -> bool:
    """Whether an experiment runs on the CPU wherever it is."""
    spec = experiment.spec
    return spec.backend == "fake" or spec.engine.get("device") == "cpu"


def conditions_of(
    settings: Settings,
    gpus: list[gpu.Gpu],
    metering: Metering,
    thermal: ThermalPolicy | None,
    pythons: Mapping[str, str],
    experiments: Iterable[Experiment],
    session: str,
    beside: int = 0,
) -> Conditions:
    """What holds for every experiment, by the settings and what was opened."""
    intensity, limit_s = settings["carbon-intensity"], settings["session-timeout"]
    return Conditions(
        idle=idle_policy(settings),
        idle_cache=_idle_cache(settings, gpus),
        gpus=[one.uuid for one in gpus],
        beside=beside,
        pythons=pythons,
        phases=settings["phases"],
        request_rows=settings["request-rows"],
        residual_memory_mb=settings["residual-memory-mb"],
        caching_varied=caching_varied(experiments),
        flops=settings["flops"],
        torch_profile=settings["torch-profile"],
        save_outputs=settings["save-outputs"],
        save_stamps=settings["save-stamps"],
        save_raw=settings["save-raw"] and settings["save-raw"] / session,
        held_out=held_out_of(settings),
        peaks={one.uuid: peak for one in gpus if (peak := peak_of(one.name))},
        strict=settings["strict"],
        carbon_intensity_g_per_kwh=(
            _modelled_intensity(metering) if intensity is None else intensity
        ),
        pue=settings["pue"],
        warmup_unconverged=settings["warmup-unconverged"],
        max_uncertainty_pct=settings["max-uncertainty"],
        max_failed_pct=settings["max-failed"],
        throttle=settings["throttle"],
        throttle_reruns=settings["throttle-reruns"],
        thermal=thermal,
        thermal_floor_s=settings["thermal-floor"],
        gaps=gaps_of(settings),
        isolation=settings["isolation"],
        whole_gpus=whole_gpus(gpus),
        limits=Limits(
            start_s=settings["start-timeout"],
            silence_s=settings["silence-timeout"],
            ends_at_s=limit_s and time.monotonic() + limit_s,
        ),
        bandwidth_bytes_per_s=_bandwidth(gpus),
        require_exclusive=settings["require-exclusive"],
        power_limits_w={
            one.mig_parent or one.uuid: one.power_limit_w
            for one in gpus
            if one.power_limit_w is not None
        },
    )


def held_out_of(settings: Settings) -> HeldOut | None:
    """The text that models are judged by; None where nobody asked for it.

    Raises ConfigError where it cannot be.
    """
    if "perplexity" not in settings["quality"]:
        return None
    return held_out(
        settings["quality-text"],
        window_tokens=settings["quality-window"],
        stride_tokens=settings["quality-stride"],
    )


def containers_for(
    images: Mapping[str, Image],
    settings: Settings,
    experiments: Iterable[Experiment],
    gpus: list[gpu.Gpu],
    directory: Path,
) -> Containers | None:
    """What the engines in images are run by; None where there are none.

    They see the models and adapters that their experiments name, and write into the
    session's directory and profiles. Raises ConfigError for a path that they cannot
    have.
    """
    if not images:
        return None
    specs = [one.spec for one in experiments if one.spec.backend in images]
    profile = settings["torch-profile"]
    housing = Housing(
        owner=directory.name,
        gpus=[one.uuid for one in gpus],
        keep=settings["container"] == "exec",
        readable=[path for one in specs for path in paths_in(one.model_dump())],
        writable=[directory, *([profile.absolute()] if profile else [])],
        arguments=settings["container-args"],
        privileged=settings["container-privileged"],
    )
    return Containers(images, housing)


def caching_varied(experiments: Iterable[Experiment]) -> set[str]:
    """The backends whose experiments differ in whether prefixes are cached."""
    paths = FEATURES["prefix caching"]
    said: dict[str, set[str]] = {}
    for one in experiments:
        value: Any = one.spec.engine
        for key in paths.get(one.spec.backend, "").split(".")[1:]:
            value = value.get(key) if isinstance(value, Mapping) else None
        said.setdefault(one.spec.backend, set()).add(repr(value))
    return {name for name, values in said.items() if name in paths and len(values) > 1}


def gaps_of(settings: Settings) -> Gaps:
    """The waits between experiments and between passes."""
    return Gaps(experiment_s=settings["gap"], cycle_s=settings["cycle-gap"])


def idle_policy(settings: Settings) -> IdlePolicy:
    """How idle power is read, and what it is used for."""
    return IdlePolicy(
        mode=settings["idle"],
        seconds=settings["idle-seconds"],
        kind=settings["idle-kind"],
        strategy=settings["idle-strategy"],
        every=settings["idle-every"],
        drift_limit_pct=settings["idle-drift-limit"],
        force=settings["idle-force"],
    )


def _idle_cache(settings: Settings, gpus: list[gpu.Gpu]) -> IdleCache:
    """Where idle readings are kept, by the state that these GPUs are in now."""
    facts = ("uuid", "driver_version", "persistence_mode", "power_limit_w")
    told = [[getattr(one, name) for name in facts] for one in gpus]
    return IdleCache(
        directory=user_cache() / "idle",
        ttl_s=settings["idle-ttl"],
        machine={"host": platform.node(), "gpus": sorted(told)},
    )


def measured_gpus(metering: Metering) -> list[str]:
    """The GPUs whose energy is read from the GPU itself, and not played or modelled."""
    return [
        device["id"]
        for meter in metering.describe()
        for device in meter["devices"]
        if meter["basis"] == "measured" and device["scope"] == "gpu"
    ]


def _bandwidth(gpus: list[gpu.Gpu]) -> float | None:
    """Peak of the memory of all GPUs together, in bytes/s; None if one is unknown."""
    peaks = [peak_of(one.name) for one in gpus]
    known = [peak.bandwidth_bytes_per_s for peak in peaks if peak is not None]
    return sum(known) if known and len(known) == len(peaks) else None


def whole_gpus(gpus: list[gpu.Gpu]) -> list[str]:
    """UUIDs of the GPUs that these are, or are instances of, each once."""
    return list(dict.fromkeys(one.mig_parent or one.uuid for one in gpus))


def tenants_before(settings: Settings, gpus: list[gpu.Gpu]) -> dict[str, Tenancy]:
    """Who is on the GPUs before the run; raises ConfigError if nobody may be."""
    found = tenancies(whole_gpus(gpus))
    strangers = {uuid: one.processes for uuid, one in found.items() if one.processes}
    if strangers and settings["require-exclusive"]:
        option = settings.says("require-exclusive")
        raise ConfigError(f"{option}: {described(strangers)}")
    return found


def thermal_policy(settings: Settings, gpus: list[gpu.Gpu]) -> ThermalPolicy | None:
    """The temperature that cycles begin at; raises ConfigError without a GPU."""
    if settings["thermal"] is None:
        return None
    if not gpus:
        raise ConfigError(
            f"{settings.says('thermal')}: no GPU is part of this run, so there is no "
            "temperature to wait for"
        )
    limit_c, timeout_s = settings["thermal"]
    devices = whole_gpus(gpus)
    return ThermalPolicy(limit_c=limit_c, timeout_s=timeout_s, devices=devices)


def _modelled_intensity(metering: Metering) -> float | None:
    """What a meter takes the grid's carbon intensity to be, in g/kWh."""
    key = "carbon_intensity_g_per_kwh"
    known = [meter["facts"].get(key) for meter in metering.describe()]
    return next((value for value in known if value is not None), None)


def carbon_factors(settings: Settings, laboratory: Laboratory | None) -> dict[str, Any]:
    """Both factors of the emissions, and who gave the first."""
    conditions = laboratory.conditions if laboratory else None
    intensity = conditions.carbon_intensity_g_per_kwh if conditions else None
    source = "meter" if settings["carbon-intensity"] is None else "setting"
    return {
        "intensity_g_per_kwh": intensity,
        "source": None if intensity is None else source,
        "pue": settings["pue"],
    }
