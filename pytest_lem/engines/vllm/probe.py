"""What a worker of vLLM's says of itself: the effective state, beside the real model.

vLLM mixes the class into its workers, so its methods can be called in whichever
process they are, by name. Answers are plain values.
"""

from __future__ import annotations

from typing import Any

import torch

_EMPTY = torch.empty(0)


class Probe:
    """`collective_rpc("lem_...")` of each rank; no attribute but these methods."""

    def lem_probe(self) -> dict[str, Any]:
        """Weights, kernels, cache, graphs and device of this rank."""
        runner: Any = self.model_runner  # type: ignore[attr-defined]
        config: Any = self.vllm_config  # type: ignore[attr-defined]
        model = runner.get_model()
        return {
            "rank": int(self.rank),  # type: ignore[attr-defined]
            "device": str(runner.device),
            "uuid": _uuid(runner.device),
            "model_class": type(model).__name__,
            "model_module": type(model).__module__,
            **_weights(model),
            **_attention(config),
            **_cache(runner),
            "compilation_mode": int(config.compilation_config.mode or 0),
            "cudagraph_mode": _name(config.compilation_config.cudagraph_mode),
            "capture_sizes": list(
                config.compilation_config.cudagraph_capture_sizes or ()
            ),
            "runner": type(runner).__name__,
            **_peaks(runner.device),
        }

    def lem_reset_peak(self) -> None:
        """Start the peak of the device's memory afresh."""
        device = self.model_runner.device  # type: ignore[attr-defined]
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def lem_peak(self) -> dict[str, float | None]:
        """Peaks of this rank since they were reset, in MB; None on a CPU."""
        device = self.model_runner.device  # type: ignore[attr-defined]
        return _peaks(device)


def _uuid(device: torch.device) -> str | None:
    """A GPU's, as NVML spells it; None of a CPU, and where torch does not tell."""
    if device.type != "cuda":
        return None
    told = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return None if told is None else f"GPU-{told}"


def _peaks(device: torch.device) -> dict[str, float | None]:
    if device.type != "cuda":
        return {"peak_mb": None, "reserved_mb": None}
    return {
        "peak_mb": torch.cuda.max_memory_allocated(device) / 1e6,
        "reserved_mb": torch.cuda.max_memory_reserved(device) / 1e6,
    }


def _weights(model: Any) -> dict[str, Any]:
    """Numbers and bytes of parameters, by kind, without the rows that only pad."""
    from vllm.model_executor.layers.linear import LinearBase
    from vllm.model_executor.layers.vocab_parallel_embedding import (
        ParallelLMHead,
        VocabParallelEmbedding,
    )

    parameters = list(model.parameters())
    linears = [m for m in model.modules() if isinstance(m, LinearBase)]
    tables = [m for m in model.modules() if isinstance(m, VocabParallelEmbedding)]
    heads = [m for m in tables if isinstance(m, ParallelLMHead)]
    shared = {id(p) for m in heads for p in m.parameters()}
    own = [p for m in tables if m not in heads for p in m.parameters()]
    narrow = [m for m in linears if _quantised(m)]
    packed = [
        m
        for m in linears
        if m not in narrow and not getattr(m, "weight", _EMPTY).numel()
    ]
    inside = {id(p) for m in narrow for p in m.parameters()}
    sizes: dict[str, int] = {}
    for name, size in (
        *((_name(p.dtype), p.nbytes) for p in parameters),
        *(
            (_name(m.params_dtype), _elements(m) * m.params_dtype.itemsize)
            for m in packed
        ),
    ):
        sizes[name] = sizes.get(name, 0) + size
    return {
        "parameters": sum(p.numel() for p in parameters if id(p) not in inside)
        + sum(map(_elements, packed + narrow))
        - _padding(tables),
        "weights_bytes": {name: size for name, size in sizes.items() if size},
        "hidden_weights": sum(_elements(m) for m in narrow if not _shows(m)),
        "linear_weights": sum(map(_elements, linears)),
        "table_bytes": sum(p.nbytes for p in own if id(p) not in shared) * bool(heads),
    }


def _quantised(linear: Any) -> bool:
    return type(linear.quant_method).__name__ != "UnquantizedLinearMethod"


def _shows(linear: Any) -> bool:
    """Whether a quantised matrix is among the parameters, of a bit or more each."""
    return any(8 * p.nbytes >= _elements(linear) for p in linear.parameters())


def _elements(linear: Any) -> int:
    """Elements of a matrix of this rank, also where a kernel has taken it away."""
    width = getattr(linear, "input_size_per_partition", linear.input_size)
    height = getattr(linear, "output_size_per_partition", linear.output_size)
    return int(width * height)


def _padding(tables: list[Any]) -> int:
    """Elements of the rows that fill a vocabulary up; a shared table counts once."""
    found = {
        id(p): (table.num_embeddings_padded - table.org_vocab_size) * p.shape[-1]
        for table in tables
        for p in table.parameters()
        if p.dim() > 1
    }
    return sum(found.values())


def _attention(config: Any) -> dict[str, Any]:
    """The backends that the layers really have."""
    layers = config.compilation_config.static_forward_context.values()
    backends = {
        layer.attn_backend.get_name()
        for layer in layers
        if getattr(layer, "attn_backend", None) is not None
    }
    return {"attention": sorted(backends)}


def _cache(runner: Any) -> dict[str, Any]:
    """Type, element size and bytes of the cache as it was allocated."""
    caches = [c for c in runner.kv_caches if isinstance(c, torch.Tensor)]
    return {
        "kv_cache_dtype": _name(caches[0].dtype) if caches else None,
        "kv_cache_element_bytes": caches[0].itemsize if caches else None,
        "kv_cache_bytes": sum(c.nbytes for c in caches),
    }


def _name(value: Any) -> str:
    """`float16` for `torch.float16`, `FULL` for a member of an enumeration."""
    return str(getattr(value, "name", value)).removeprefix("torch.")
