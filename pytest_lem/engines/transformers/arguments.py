"""The arguments of `from_pretrained` that a `transformers` section stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING
from transformers.utils import is_hqq_available, is_optimum_quanto_available

from pytest_lem.engines.transformers import distributed
from pytest_lem.errors import ConfigError
from pytest_lem.spec.nearest import unknown

PASSED_ON = (
    "device_map",
    "offload_folder",
    "offload_buffers",
    "use_kernels",
    "experts_implementation",
    "use_safetensors",
    "disable_mmap",
    "fusion_config",
)

_OF_FILES = ("use_safetensors", "disable_mmap")
_BITSANDBYTES = "bitsandbytes"
_OF_CHECKPOINTS = ("awq", "gptq")
_LEAST_CAPABILITY = {"flash_attention_2": (8, 0), "flash_attention_3": (9, 0)}


def arguments(spec: Mapping[str, Any], config: Any) -> dict[str, Any]:
    """What is set in a spec's section, as the library takes it; attention left out.

    `config` is the model's own, which may say how its weights are quantised. Raises
    ConfigError for what cannot be.
    """
    section = spec["engine"]
    given = {key: section[key] for key in PASSED_ON if section.get(key) is not None}
    if spec["weights"] == "random" and (of_files := _first(given, _OF_FILES)):
        msg = f"transformers.{of_files} needs a checkpoint: these weights are made up"
        raise ConfigError(msg)
    if (limits := section.get("max_memory")) is not None:
        given["max_memory"] = {_device(key): size for key, size in limits.items()}
    if (kernels := section.get("kernel_config")) is not None:
        from transformers import KernelConfig

        given["kernel_config"] = KernelConfig(kernel_mapping=dict(kernels))
    if (shares := distributed.shares(section)) is not None:
        given["distributed_config"] = shares
    if asked := quantisation(section.get("quantization_config") or {}, config):
        given["quantization_config"] = asked
    return {**given, **((section.get("extra") or {}).get("load") or {})}


def quantisation(section: Mapping[str, Any], config: Any) -> Any:
    """The library's configuration of a method; None where the checkpoint decides.

    What a quantised checkpoint says of its own method stays, where nothing else is set.
    """
    given = {
        key: value
        for key, value in section.items()
        if key not in ("method", "options") and value is not None
    }
    options = {**given, **(section.get("options") or {})}
    bits = [one for one in ("4bit", "8bit") if options.get(f"load_in_{one}")]
    method = section.get("method") or (_BITSANDBYTES if bits else None)
    if method is None:
        return None
    if method == _BITSANDBYTES:
        make = _method(f"{method}_{bits[0] if bits else '8bit'}")
    else:
        make = _method(method)
    own = getattr(config, "quantization_config", None) or {}
    if not isinstance(own, Mapping):
        own = own.to_dict()
    if own.get("quant_method") == method:
        return make.from_dict({**own, **options})  # type: ignore[attr-defined]
    if method == "torchao":
        options = _torchao(options)
    try:
        made = make(**options)
    except (TypeError, ValueError) as error:
        msg = f"transformers.quantization_config of {method}: {error}"
        raise ConfigError(msg) from error
    for key in options:
        if not hasattr(made, key):  # the library drops what it does not know
            raise ConfigError(unknown(f"option of {method}", key, vars(made)))
    if method in _OF_CHECKPOINTS:
        there = own.get("quant_method", "not quantised")
        msg = (
            f"transformers.quantization_config.method={method!r} needs a checkpoint "
            f"that was quantised so: this one is {there}"
        )
        raise ConfigError(msg)
    return made


def _method(name: str) -> Callable[..., Any]:
    known: dict[str, Callable[..., Any]] = AUTO_QUANTIZATION_CONFIG_MAPPING
    if name in known:
        return known[name]
    names = sorted({*known, _BITSANDBYTES} - {f"{_BITSANDBYTES}_{n}bit" for n in "48"})
    where = "transformers.quantization_config.method"
    raise ConfigError(unknown(where, name, names))


def _torchao(options: dict[str, Any]) -> dict[str, Any]:
    """Its kind of quantisation is an object: a name stands for one with defaults."""
    kind = options.get("quant_type")
    if not isinstance(kind, str):
        return options
    import torchao.quantization as kinds  # type: ignore[import-not-found]

    if not hasattr(kinds, kind):
        names = [one for one in dir(kinds) if one.endswith("Config")]
        where = "transformers.quantization_config.options.quant_type"
        raise ConfigError(unknown(where, kind, names))
    return {**options, "quant_type": getattr(kinds, kind)()}


def _first(given: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((one for one in names if one in given), None)


def _device(key: str) -> str | int:
    """JSON has only text for keys; the library has numbers for GPUs."""
    return int(key) if key.isdecimal() else key


def unavailable(section: Mapping[str, Any]) -> list[str]:
    """A line for each parameter that nothing here can obey, nor a CPU if one is asked.

    Those that the machine has no GPU for are in `unfit`.
    """
    found = [*_of_gpus(section)] if section.get("device") == "cpu" else []
    if section.get("cache_implementation") == "quantized":
        kind = (section.get("cache_config") or {}).get("backend", "quanto")
        there = {"quanto": is_optimum_quanto_available, "hqq": is_hqq_available}
        if kind in there and not there[kind]():
            package = {"quanto": "optimum-quanto"}.get(kind, kind)
            found.append(
                f"transformers.cache_implementation='quantized' with backend {kind} "
                f"needs {package}: pip install {package}"
            )
    known = {"eager", *ALL_ATTENTION_FUNCTIONS.valid_keys()}
    asked = section.get("attn_implementation")
    name = _kernel(asked)
    if asked is not None and name not in known and "/" not in name:
        found.append(unknown("transformers.attn_implementation", asked, known))
    return found


def unfit(section: Mapping[str, Any], device: torch.device) -> list[str]:
    """A line for each parameter that needs a GPU, or a younger one than there is."""
    if device.type != "cuda":
        return [*_of_gpus(section)]
    asked = section.get("attn_implementation")
    least = _LEAST_CAPABILITY.get(_kernel(asked))
    there = torch.cuda.get_device_capability(device) if least else None
    if least is None or there is None or there >= least:
        return []
    msg = (
        f"transformers.attn_implementation={asked!r} needs a GPU of compute "
        f"capability {least[0]}.{least[1]}, and this one has {there[0]}.{there[1]}"
    )
    return [msg]


def _kernel(asked: str | None) -> str:
    """The kernel of attention: any may have a prefix, as in `paged|sdpa`.

    A name with a slash is one of the hub's.
    """
    return str(asked).rpartition("|")[2]


def _of_gpus(section: Mapping[str, Any]) -> Iterator[str]:
    cache = str(section.get("cache_implementation"))
    on_gpus = {
        "alloc_conf": section.get("alloc_conf") is not None,
        "allow_tf32": section.get("allow_tf32") is not None,
        "cache_implementation": cache.startswith("offloaded"),
        "compile_config": bool(section.get("compile_config")),
    }
    for key, wanted in on_gpus.items():
        if wanted:
            yield (
                f"transformers.{key}={section[key]!r} needs a GPU: a CPU ignores or "
                "refuses it"
            )
