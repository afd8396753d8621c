"""Named bundles of settings: how to sample, and how to run an engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.spec.nearest import unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Settings under one name; `backend` is the one they are for, or None for all."""

    meaning: str
    values: Mapping[str, Any]
    backend: str | None = None
    aliases: tuple[str, ...] = ()


DECODERS: Mapping[str, Mapping[str, Any]] = {
    "deterministic": {"do_sample": False, "temperature": 0.0},
    "standard": {"do_sample": True, "temperature": 1.0, "top_p": 0.95, "top_k": 50},
    "creative": {
        "do_sample": True,
        "temperature": 0.8,
        "top_p": 0.9,
        "repetition_penalty": 1.05,
    },
    "factual": {"do_sample": True, "temperature": 0.3, "top_k": 10},
}

PRESETS: Mapping[str, Preset] = {
    "deterministic": Preset(
        meaning="the likeliest token each time",
        values={"decoder": DECODERS["deterministic"]},
    ),
    "standard": Preset(
        meaning="sampling as most models are served",
        values={"decoder": DECODERS["standard"]},
    ),
    "creative": Preset(
        meaning="sampling that repeats little", values={"decoder": DECODERS["creative"]}
    ),
    "factual": Preset(
        meaning="sampling close to the likeliest",
        values={"decoder": DECODERS["factual"]},
    ),
    "transformers-optimized": Preset(
        meaning="FlashAttention 2 and compiled steps",
        backend="transformers",
        values={
            "transformers": {
                "attn_implementation": "flash_attention_2",
                "torch_compile": "reduce-overhead",
            }
        },
        aliases=("pytorch-optimized",),
    ),
    "transformers-speculative": Preset(
        meaning="five drafted tokens at a time; name the assistant_model beside it",
        backend="transformers",
        values={"transformers": {"num_assistant_tokens": 5}},
        aliases=("pytorch-speculative",),
    ),
    "transformers-compatible": Preset(
        meaning="eager attention, nothing compiled",
        backend="transformers",
        values={"transformers": {"attn_implementation": "eager"}},
        aliases=("pytorch-compatible",),
    ),
    "vllm-throughput": Preset(
        meaning="many requests at once",
        backend="vllm",
        values={
            "vllm": {
                "max_num_seqs": 512,
                "enable_chunked_prefill": True,
                "enable_prefix_caching": True,
            }
        },
    ),
    "vllm-speculative": Preset(
        meaning="five tokens drafted from the prompt",
        backend="vllm",
        values={
            "vllm": {
                "speculative_config": {
                    "method": "ngram",
                    "num_speculative_tokens": 5,
                }
            }
        },
    ),
    "vllm-memory-efficient": Preset(
        meaning="an 8-bit cache that is shared",
        backend="vllm",
        values={
            "vllm": {
                "kv_cache_dtype": "fp8",
                "enable_prefix_caching": True,
                "gpu_memory_utilization": 0.95,
            }
        },
    ),
    "vllm-low-latency": Preset(
        meaning="few requests at once; CUDA graphs stay on",
        backend="vllm",
        values={"vllm": {"max_num_seqs": 32}},
    ),
}


def by_name(presets: Mapping[str, Preset]) -> dict[str, Preset]:
    """The presets under their names and aliases."""
    return {
        name: preset
        for canonical, preset in presets.items()
        for name in (canonical, *preset.aliases)
    }


def check_name(name: object, presets: Mapping[str, Preset]) -> None:
    """Raise ConfigError with the nearest where this names none of the presets."""
    if not isinstance(name, str) or name not in by_name(presets):
        raise ConfigError(unknown("preset", str(name), presets))


def preset_values(
    names: object, backend: str, presets: Mapping[str, Preset]
) -> dict[str, Mapping[str, Any]]:
    """The settings of these presets for a backend, in order; a name, or several.

    Those for other backends are passed over, so that one list serves a run over
    several. Raises ConfigError for a name that is unknown, and where none is for it.
    """
    if not isinstance(names, str | list | tuple):
        msg = f"preset={names!r} is neither a name nor a list of names"
        raise ConfigError(msg)
    listed = [names] if isinstance(names, str) else list(names)
    for name in listed:
        check_name(name, presets)
    found = {name: by_name(presets)[name] for name in listed}
    fitting = {
        name: one.values
        for name, one in found.items()
        if one.backend in (None, backend)
    }
    if found and not fitting:
        owners = " and ".join(sorted({str(one.backend) for one in found.values()}))
        msg = f"preset {', '.join(listed)} is for {owners}, not for {backend}"
        raise ConfigError(msg)
    return fitting
