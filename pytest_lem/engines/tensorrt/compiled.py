"""Engines that are compiled before they run, which TensorRT-LLM had up to 1.2.

What is compiled is kept under a key of everything that decides it, and loaded from
there: compiling has its own time, apart from the load and from any window.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_lem.engines.tensorrt import preflight
from pytest_lem.engines.tensorrt.arguments import OF_BUILDS, lookup, native
from pytest_lem.engines.tensorrt.checkpoint import folder_of
from pytest_lem.engines.tensorrt.hardware import Gpu
from pytest_lem.errors import ConfigError
from pytest_lem.machine.cache import user_cache
from pytest_lem.workload.models import directory_sha256

ALGORITHMS = {
    "none": None,
    "fp8": "FP8",
    "int8_sq": "W8A8_SQ_PER_CHANNEL_PER_TOKEN_PLUGIN",
    "int8_weight_only": "W8A16",
    "int4_awq": "W4A16_AWQ",
    "int4_gptq": "W4A16_GPTQ",
}
"""TensorRT-LLM's own name of each method of `quantization`."""

TELL_EVERY_S = 60.0

_ARGUMENTS = (
    "fast_build",
    "embedding_parallel_mode",
    "batching_type",
    "normalize_log_probs",
    "extended_runtime_perf_knob_config",
)
_BUILD = ("strongly_typed", "opt_batch_size", "opt_num_tokens")
_LIMITS = (
    "max_batch_size",
    "max_input_len",
    "max_seq_len",
    "max_num_tokens",
    "max_beam_width",
)
_PARTS = (
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "context_parallel_size",
)
_ONLY_BUILDS = (
    "build_config",
    "quant_config",
    "calib_config",
    "fast_build",
    "embedding_parallel_mode",
    "load_format",
    *_LIMITS,
)
_CALIBRATION = {
    "dataset": "calib_dataset",
    "num_samples": "calib_batches",
    "max_length": "calib_max_seq_length",
    "seed": "random_seed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """An engine on disk: where, whether it was there, and how long it took if not."""

    path: Path
    cache: str
    build_s: float | None
    key: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the record; a time is null where nothing was compiled."""
        return {
            "engine_path": str(self.path),
            "engine_cache": self.cache,
            "build_s": self.build_s,
            "key": self.key,
        }


def compiles(section: Mapping[str, Any]) -> bool:
    """Whether an engine is compiled: that was said, or something that needs it."""
    keys = (*OF_BUILDS[1:], *_ARGUMENTS)
    told = any(section.get(key) not in (None, False) for key in keys)
    build = (section.get("extra") or {}).get("build")
    return section.get("backend") == "tensorrt" or told or bool(build)


def front(version: str) -> Any:
    """The `LLM` that compiles; ConfigError where this version has none any more."""
    try:
        return importlib.import_module("tensorrt_llm._tensorrt_engine").LLM
    except ImportError as error:
        msg = (
            f"TensorRT-LLM {version} compiles no engines any more (1.2 is the last): "
            "leave out tensorrt.backend and what is about builds; cuda_graph_config, "
            "torch_compile_config and enable_autotuner tune it"
        )
        raise ConfigError(msg) from error


def build_arguments(section: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments that say what is compiled, as TensorRT-LLM's own objects."""
    quantisation = section.get("quantization") or {}
    method = ALGORITHMS[quantisation.get("method") or "none"]
    narrow = {
        "quant_algo": _member("QuantAlgo", method),
        "kv_cache_quant_algo": _member("QuantAlgo", section.get("kv_cache_quant_algo")),
    }
    calibration = quantisation.get("calibration") or {}
    found: dict[str, Any] = {"build_config": _build_config(section)}
    if any(one is not None for one in narrow.values()):
        found["quant_config"] = native("QuantConfig", narrow, "tensorrt.quantization")
    if calibration:
        fields = {_CALIBRATION[key]: value for key, value in calibration.items()}
        where = "tensorrt.quantization.calibration"
        found["calib_config"] = native("CalibConfig", fields, where)
    return found


def compiled(
    spec: Mapping[str, Any],
    arguments: Mapping[str, Any],
    gpus: Sequence[Gpu],
    version: str,
    build: Callable[[Mapping[str, Any]], Any],
) -> Compiled:
    """The engine for a spec: the one that is named, one that is kept, or a new one.

    `build` makes an `LLM` of arguments, which compiles. Raises ConfigError for an
    engine that is not what the spec asks for.
    """
    section = spec["engine"]
    if section.get("engine_path") is not None:
        path = Path(section["engine_path"]).expanduser()
        preflight.check(path, section, version, gpus[0].capability)
        return Compiled(path=path, cache="given", build_s=None, key=None)
    facts = key_facts(spec, gpus, version)
    key = key_of(facts)
    own = section.get("engine_cache_dir")
    kept = Path(own).expanduser() if own else user_cache() / "tensorrt"
    path = kept / key
    if path.is_dir() and not section.get("force_rebuild"):
        preflight.check(path, section, version, gpus[0].capability)
        return Compiled(path=path, cache="hit", build_s=None, key=key)
    kept.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with _telling(start), tempfile.TemporaryDirectory(dir=kept) as made:
        llm = build(arguments)
        try:
            llm.save(made)
        finally:
            llm.shutdown()
        (Path(made) / preflight.FACTS).write_text(json.dumps(facts), encoding="utf-8")
        _put(Path(made), path)
    build_s = time.monotonic() - start
    return Compiled(path=path, cache="miss", build_s=build_s, key=key)


def runtime_arguments(
    arguments: Mapping[str, Any], engine: Compiled, tokenizer: str
) -> dict[str, Any]:
    """What runs an engine: nothing of what it was compiled from is said again."""
    found = {k: one for k, one in arguments.items() if k not in _ONLY_BUILDS}
    return {**found, "model": str(engine.path), "tokenizer": tokenizer}


def key_facts(
    spec: Mapping[str, Any], gpus: Sequence[Gpu], version: str
) -> dict[str, Any]:
    """Everything that decides what is compiled: model, GPU, version and options."""
    section, folder = spec["engine"], folder_of(spec)
    content = (
        {"name": spec["model"], "revision": spec["revision"]}
        if folder is None
        else directory_sha256(folder)
    )
    names = (*OF_BUILDS, *_ARGUMENTS, *_LIMITS, *_PARTS, "model_kwargs")
    options = {
        name: section[name]
        for name in names
        if section.get(name) is not None
        and name not in ("force_rebuild", "engine_cache_dir")
    }
    return {
        "model": content,
        "precision": spec["precision"],
        "weights": [spec["weights"], spec["weights_seed"]],
        "trust_remote_code": spec["trust_remote_code"],
        "capability": list(gpus[0].capability),
        "version": version,
        "options": options,
        "extra": section.get("extra") or {},
    }


def key_of(facts: Mapping[str, Any]) -> str:
    """The name of an engine in the cache."""
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _build_config(section: Mapping[str, Any]) -> Any:
    names = (*_BUILD, *_LIMITS)
    fields = {name: section[name] for name in names if section.get(name) is not None}
    if kind := section.get("kv_cache_type"):
        fields["kv_cache_type"] = _member("KVCacheType", kind)
    if (packed := section.get("remove_input_padding")) is not None:
        plugins = importlib.import_module("tensorrt_llm.plugin.plugin").PluginConfig
        fields["plugin_config"] = plugins(remove_input_padding=packed)
    fields |= (section.get("extra") or {}).get("build") or {}
    return native("BuildConfig", fields, "tensorrt.extra.build")


def _member(name: str, value: str | None) -> Any:
    """A member of one of TensorRT-LLM's enumerations, where there is that one."""
    kind = lookup(name)
    return value if value is None or kind is None else kind[value]


def _put(made: Path, path: Path) -> None:
    """Move an engine to its place, whole or not at all; an old one goes."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    shutil.copytree(made, new)
    if path.exists():
        shutil.rmtree(path)
    new.replace(path)


@contextlib.contextmanager
def _telling(start: float) -> Iterator[None]:
    """Say in the log, now and again, that compiling goes on."""
    done = threading.Event()

    def tell() -> None:
        while not done.wait(TELL_EVERY_S):
            spent_s = time.monotonic() - start
            print(f"TensorRT-LLM has been compiling for {spent_s:.0f} s", flush=True)  # noqa: T201

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
