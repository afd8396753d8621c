"""What is looked at when the windows of a cycle are over: memory, FLOPs, a profile.

Passes here are watched by the engine's own tools, which slows them down; nothing of
them enters a window.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from pytest_lem.analysis.estimate import Count
from pytest_lem.analysis.flops import Flops
from pytest_lem.engines import GenerateOptions
from pytest_lem.errors import LemError
from pytest_lem.machine.memory import used
from pytest_lem.machine.processes import family
from pytest_lem.measure.laboratory import Bench, Laboratory
from pytest_lem.measure.notebook import Notebook
from pytest_lem.measure.prompting import prompts_for

COUNT_LIMIT_S = 30.0
_NAME_LENGTH = 120


def look_at_memory(lab: Laboratory, notes: Notebook, bench: Bench) -> None:
    """What the driver says is in use, over all GPUs of the run."""
    on_cpu = bench.devices == {"cpu"}
    gpus = [] if on_cpu else lab.conditions.gpus
    found = used(gpus, family(bench.client.pid) if gpus else ())
    notes.watched.device_used_mb = found.device_mb
    notes.watched.process_used_mb = found.process_mb
    reasons = {
        "device_used_mb": found.device_unknown,
        "process_used_mb": found.process_unknown,
    }
    for name, reason in reasons.items():
        if reason is not None:
            notes.nulls[f"extended.memory.{name}"] = reason


def watch(
    lab: Laboratory, notes: Notebook, bench: Bench, options: GenerateOptions
) -> None:
    """Run the watched passes that were asked for; one that fails is told by its kind.

    They ask the first window's prompts again. A profile is made once, in the first
    cycle. After a failure the engine is not used again, and the windows still count.
    """
    folder = lab.conditions.torch_profile if notes.index == 0 else None
    if lab.conditions.flops == "measured":
        lab.progress.phase("count FLOPs", COUNT_LIMIT_S)
        _count(notes, bench, options)
    if folder is not None:
        lab.progress.phase("profile")
        _profile(notes, bench, options, folder)


def profile_name(experiment: str) -> str:
    """A file name that tells the experiment, and no other."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", experiment).strip("_")
    digest = hashlib.sha256(experiment.encode()).hexdigest()[:8]
    return f"{plain[-_NAME_LENGTH:]}-{digest}.json"


def _count(notes: Notebook, bench: Bench, options: GenerateOptions) -> None:
    watched = notes.watched
    try:
        told = bench.client.count_flops(
            _prompts(notes, bench), options, limit_s=COUNT_LIMIT_S
        )
    except LemError as error:
        watched.uncounted = error.kind
        return
    if told is None:
        watched.uncounted = "engine_has_no_counter"
        return
    watched.count = Count(
        flops=Flops(prefill=told["prefill"], decode=told["decode"]),
        work=told["work"],
        kv_cache_mb=told["kv_cache_mb"],
    )
    watched.uncounted = "other_work_than_counted"


def _profile(
    notes: Notebook, bench: Bench, options: GenerateOptions, folder: Path
) -> None:
    path = folder.absolute() / profile_name(notes.experiment.id)
    try:
        folder.mkdir(exist_ok=True)
        found = bench.client.profile(_prompts(notes, bench), options, path)
        reason = "engine_has_no_profiler"
    except (LemError, OSError) as error:
        found = None
        reason = error.kind if isinstance(error, LemError) else "not_writable"
    notes.watched.profile = found
    if found is None:
        notes.nulls["native.torch_profile"] = reason
        notes.flags.add("profile_failed")


def _prompts(notes: Notebook, bench: Bench) -> Sequence[Sequence[int]]:
    """Those of the cycle's first window."""
    workload = notes.experiment.workload
    count = workload.request_count
    return prompts_for(workload, bench, notes.index, 0, count).prompts
