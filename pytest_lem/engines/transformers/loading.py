"""How the transformers engine gets its model, and what it can say about it."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
)
from transformers.utils import cached_file

from pytest_lem.engines import contract
from pytest_lem.engines.contract import first_line, rss_peak_mb
from pytest_lem.engines.driven import TRANSFORMERS, undriven
from pytest_lem.engines.transformers import distributed
from pytest_lem.engines.transformers.arguments import arguments, unavailable, unfit
from pytest_lem.engines.transformers.running import Running
from pytest_lem.errors import (
    ConfigError,
    EngineLoadError,
    HardwareError,
    LemError,
    OutOfMemory,
)
from pytest_lem.workload.models import directory_sha256

_DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


def load(spec: Mapping[str, Any], running: Running) -> tuple[Any, Any, list[str]]:
    """Model and tokenizer of a spec, and the flags that its loading earned.

    Starts what the spec sets of torch. Raises EngineLoadError in one line; torch's own
    out-of-memory error passes through.
    """
    if problems := undriven(spec, TRANSFORMERS, section="transformers"):
        raise ConfigError("; ".join(problems))
    if spec["precision"] not in (None, *_DTYPES):
        msg = f"precision {spec['precision']!r}: transformers has {', '.join(_DTYPES)}"
        raise ConfigError(msg)
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    device, flags = choose_device(spec)
    if problems := unavailable(spec["engine"]):
        raise ConfigError("; ".join(problems))
    if problems := unfit(spec["engine"], device):
        raise HardwareError("; ".join(problems))
    running.start(spec["engine"], device)
    distributed.join(spec, device)
    if device.type == "cuda":
        torch.cuda.init()
        reset_peaks([device.index])
    if spec["revision"] is not None and Path(spec["model"]).is_dir():
        flags.append("revision_ignored_local")
    try:
        config = AutoConfig.from_pretrained(spec["model"], **_source(spec))
        tokenizer = AutoTokenizer.from_pretrained(spec["model"], **_source(spec))
        model, more = _with_attention(spec, config, device)
    except (torch.OutOfMemoryError, MemoryError, LemError):
        raise
    except Exception as error:
        raise _load_failure(spec, error) from error
    return model.eval(), tokenizer, flags + more


def choose_device(spec: Mapping[str, Any]) -> tuple[torch.device, list[str]]:
    """The device to load on: the one asked for, else a GPU where there is one.

    A GPU that was asked for or expected and is not there is an error, so that nothing
    lands on the CPU unasked.
    """
    asked, expected = spec["engine"].get("device"), spec["gpus_expected"]
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked is None:
        asked = "cuda" if expected or seen else "cpu"
    try:
        device = torch.device(asked)
    except (RuntimeError, TypeError) as error:
        msg = f"device {asked!r}: give cpu, cuda or cuda:N"
        raise ConfigError(msg) from error
    if device.type not in ("cpu", "cuda"):
        msg = f"device {asked!r}: give cpu, cuda or cuda:N"
        raise ConfigError(msg)
    if device.type == "cpu":
        return device, []
    index = device.index or 0
    if seen < max(expected, index + 1):
        msg = (
            f"{max(expected, index + 1)} GPUs are needed and torch "
            f"{torch.__version__} sees {seen}: {_why_no_gpu()}"
        )
        # A GPU of the run that torch does not see is a fault of the installation.
        raise EngineLoadError(msg) if expected > seen else HardwareError(msg)
    alone = seen > 1 and spec["engine"].get("device_map") is None
    return torch.device("cuda", index), ["gpus_unused"] if alone else []


def unlike(spec: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Flags of a model that is not as asked for, an error if strict, or offloaded."""
    offloaded = ["offloaded"] if found["offloaded_share"] else []
    return contract.unlike(found, strict=spec["strict"]) + offloaded


def input_device(model: Any) -> torch.device:
    """Where prompts go: to the model, or to the first device of one that is spread."""
    placed = getattr(model, "hf_device_map", None) or {}
    places = [torch.device(one) for one in placed.values() if one != "disk"]
    on_gpu = [one for one in places if one.type == "cuda"]
    found: torch.device = (on_gpu or places or [model.device])[0]
    return found


def gpus(model: Any) -> list[int]:
    """The GPUs that hold the model; touching others would start a context on them."""
    devices = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
    return sorted(device.index for device in devices if device.type == "cuda")


def reset_peaks(gpus: Sequence[int]) -> None:
    """Start the peak memory of every GPU of the run afresh."""
    for gpu in gpus:
        torch.cuda.reset_peak_memory_stats(gpu)


def allocated_bytes() -> int:
    """What torch holds on all GPUs now; libraries keep some after an unload."""
    if not torch.cuda.is_initialized():
        return 0
    return sum(map(torch.cuda.memory_allocated, range(torch.cuda.device_count())))


def load_memory(
    model: Any, gpus: Sequence[int], before: int
) -> dict[str, float | None]:
    """Sizes of a load in MB: the model, and the peak, over all GPUs.

    `before` are the bytes that were held already; they count in neither.
    """
    if not gpus:
        here = (*model.parameters(), *model.buffers())
        tensors = [each for each in here if each.device.type != "meta"]
        held, peak = sum(map(distributed.local_bytes, tensors)), None
    else:
        held = sum(map(torch.cuda.memory_allocated, gpus)) - before
        peak = sum(map(torch.cuda.max_memory_allocated, gpus)) - before
    return {
        "model_mb": held / 1e6,
        "load_peak_mb": None if peak is None else peak / 1e6,
        "rss_peak_mb": rss_peak_mb(),
    }


def pass_memory(gpus: Sequence[int]) -> dict[str, float | None]:
    """Peaks since they were last reset, in MB, over all GPUs."""
    allocated = sum(map(torch.cuda.max_memory_allocated, gpus))
    reserved = sum(map(torch.cuda.max_memory_reserved, gpus))
    return {
        "inference_peak_mb": allocated / 1e6 if gpus else None,
        "reserved_peak_mb": reserved / 1e6 if gpus else None,
        "rss_peak_mb": rss_peak_mb(),
    }


def model_facts(model: Any, tokenizer: Any) -> dict[str, Any]:
    """What the model is: its shape, its size, its special ids.

    `reserved_ids` are the ids that a made-up prompt must not contain.
    """
    config = model.config.get_text_config()
    ends = end_ids(model)
    special = [config.bos_token_id, pad_id(model, tokenizer), *ends]
    reserved = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder, *special}
    heads = getattr(config, "num_attention_heads", None)
    return {
        "architecture": type(model).__name__,
        "model_type": model.config.model_type,
        "parameters": sum(each.numel() for each in model.parameters()),
        "dtype": _dtype_name(model.dtype),
        "vocab_size": config.vocab_size,
        "context_length": getattr(config, "max_position_embeddings", None),
        "layers": getattr(config, "num_hidden_layers", None),
        "hidden_size": getattr(config, "hidden_size", None),
        "intermediate_size": getattr(config, "intermediate_size", None),
        "attention_heads": heads,
        "key_value_heads": getattr(config, "num_key_value_heads", None) or heads,
        "head_dim": getattr(config, "head_dim", None),
        "tied_embeddings": bool(getattr(config, "tie_word_embeddings", False)),
        "bos_id": config.bos_token_id,
        "eos_ids": ends,
        "pad_id": pad_id(model, tokenizer),
        "reserved_ids": sorted(each for each in reserved if each is not None),
    }


def origin(spec: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """Where the model came from: commit and hashes, `None` where there are none."""
    found = cached_file(
        spec["model"], "config.json", revision=spec["revision"], local_files_only=True
    )
    folder = Path(found).parent
    return {
        "revision": getattr(model.config, "_commit_hash", None),
        "custom_code": not type(model).__module__.startswith("transformers."),
        **directory_sha256(folder),
    }


def device_names(model: Any) -> list[str]:
    """The devices that hold the model, as torch names them."""
    there = {each.device for each in model.parameters()} - {torch.device("meta")}
    return sorted(map(str, there))


def end_ids(model: Any) -> list[int]:
    """The ids that end a request."""
    ends = model.generation_config.eos_token_id
    if ends is None:
        return []
    return [ends] if isinstance(ends, int) else list(ends)


def pad_id(model: Any, tokenizer: Any) -> int:
    """The id that fills rows up; masked, so any does where the model names none."""
    candidates = (
        model.generation_config.pad_token_id,
        tokenizer.pad_token_id,
        *end_ids(model),
    )
    return next((int(each) for each in candidates if each is not None), 0)


def host_memory_is_full(error: BaseException) -> bool:
    """Whether torch ran out of host memory, which it reports as a plain error."""
    return "DefaultCPUAllocator" in str(error)


def _with_attention(
    spec: Mapping[str, Any], config: Any, device: torch.device
) -> tuple[Any, list[str]]:
    """The model with the attention asked for; unless strict, else with the default."""
    asked = spec["engine"].get("attn_implementation")
    given = arguments(spec, config)
    if asked is None:
        return _build(spec, config, device, given), []
    try:
        chosen = {"attn_implementation": asked}
        model = _build(spec, config, device, {**given, **chosen})
    except (ImportError, ValueError) as error:
        if spec["strict"]:
            raise
        model = _build(spec, config, device, given)
        logging.getLogger(__name__).warning(
            "attention %s is missing, the default is used: %s", asked, first_line(error)
        )
    used = model.config._attn_implementation
    if used == asked:
        return model, []
    if spec["strict"]:
        msg = f"attention {asked!r} was asked for and transformers took {used!r}"
        raise EngineLoadError(msg)
    return model, ["attention_fallback"]


def _build(
    spec: Mapping[str, Any],
    config: Any,
    device: torch.device,
    given: dict[str, Any],
) -> Any:
    """The model on its device, from its checkpoint or with seeded random weights.

    Random weights go through the loader where there is something for it to do.
    """
    config = copy.deepcopy(config)
    default = "float16" if device.type == "cuda" else "float32"
    dtype = _DTYPES[spec["precision"] or default]
    # Without a map, a GPU's model would pass through host memory first.
    placed = {"device_map": {"": device}} if device.type == "cuda" else {}
    if "distributed_config" in given:  # it places the shards itself
        placed = {}
    if spec["weights"] == "checkpoint":
        return AutoModelForCausalLM.from_pretrained(
            spec["model"],
            config=config,
            dtype=dtype,
            **{**placed, **given, **_source(spec)},
        )
    attention = {key: given[key] for key in given if key == "attn_implementation"}
    loader = {key: given[key] for key in given if key not in attention}
    torch.manual_seed(spec["weights_seed"])
    with torch.device("cpu" if loader else device):
        model = AutoModelForCausalLM.from_config(
            config,
            dtype=dtype,
            trust_remote_code=spec["trust_remote_code"],
            **attention,
        )
    if loader:
        model = type(model).from_pretrained(
            None,
            config=config,
            state_dict=model.state_dict(),
            dtype=dtype,
            **{**placed, **given},
        )
    # A model need not have the file; what its config says then stays.
    with contextlib.suppress(OSError):
        model.generation_config = GenerationConfig.from_pretrained(
            spec["model"], revision=spec["revision"]
        )
    return model


def _source(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Which files of the model, and whether its own code may run."""
    source = {"trust_remote_code": spec["trust_remote_code"]}
    if spec["revision"] is not None:
        source["revision"] = spec["revision"]
    return source


def _load_failure(spec: Mapping[str, Any], error: Exception) -> LemError:
    """Why the model cannot be loaded, in one line."""
    if host_memory_is_full(error):
        return OutOfMemory(first_line(error))
    return EngineLoadError(
        f"transformers cannot load {spec['model']!r}: {first_line(error)}",
        detail=str(error).strip(),
    )


def _why_no_gpu() -> str:
    """What stands between torch and the GPUs."""
    if torch.version.cuda is None and torch.version.hip is None:
        return "this torch is built without CUDA"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return f"built for CUDA {torch.version.cuda}, {first_line(error)}"
    return f"built for CUDA {torch.version.cuda}; see CUDA_VISIBLE_DEVICES"


def _dtype_name(dtype: torch.dtype) -> str:
    """`float16` for `torch.float16`."""
    return str(dtype).removeprefix("torch.")
