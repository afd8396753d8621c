"""What the transformers engine can say of its arithmetic: precision, FLOPs, a profile.

The passes here are watched, which slows them down: they are never part of a window.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from transformers.pytorch_utils import Conv1D

from pytest_lem.analysis.architecture import NoArchitecture, from_config
from pytest_lem.errors import Timeout

_Batch = TypeVar("_Batch")


def shape_facts(model: Any) -> dict[str, Any]:
    """The architecture that the closed form needs, if it is the model's, and bytes.

    `decode_weights_mb` are the weights that a decoding step reads: all but a table of
    embeddings that the output does not share. A cached key or value has
    `kv_cache_element_bytes`.

    `closed_form` is `checked` where the weights of the layers' matrices are as many as
    the form counts, `unchecked` where they are packed by a quantisation; null, with
    `no_closed_form` the reason, where they differ or the family is not known.
    """
    config = model.config.get_text_config()
    sizes = {
        "decode_weights_mb": _decode_weights_bytes(model) / 1e6,
        "kv_cache_element_bytes": model.dtype.itemsize,
    }
    try:
        shape = from_config(config.to_dict())
    except NoArchitecture as reason:
        return {**sizes, "closed_form": None, "no_closed_form": str(reason)}
    checked = getattr(config, "quantization_config", None) is None
    if checked and _linear_weights(model) != shape.linear_parameters:
        return {**sizes, "closed_form": None, "no_closed_form": "weights_differ"}
    told = "checked" if checked else "unchecked"
    return {**sizes, **shape.to_json(), "closed_form": told}


def precision(model: Any) -> dict[str, Any]:
    """Types of weights (shares of their bytes), activations and arithmetic.

    `compute` is what the matrix products run in: for float32 on a GPU `tf32` where
    torch may use it; for quantised weights what they are turned into, null for a
    quantisation that is not known here.
    """
    sizes: dict[str, int] = {}
    for each in model.parameters():
        name = _name(each.dtype)
        sizes[name] = sizes.get(name, 0) + each.nbytes
    whole = sum(sizes.values())
    quantisation = getattr(model.config, "quantization_config", None)
    if quantisation is not None and not isinstance(quantisation, dict):
        quantisation = json.loads(quantisation.to_json_string(use_diff=False))
    compute: str | None = _name(model.dtype)
    if quantisation is not None:
        compute = _quantised_compute(quantisation, _name(model.dtype))
    elif compute == "float32" and model.device.type == "cuda":
        compute = "tf32" if torch.backends.cuda.matmul.allow_tf32 else compute
    return {
        "weights": {name: size / whole for name, size in sorted(sizes.items())},
        "activations": _name(model.dtype),
        "compute": compute,
        "quantisation": quantisation,
    }


def _quantised_compute(quantisation: dict[str, Any], activations: str) -> str | None:
    """What products with quantised weights run in, for the methods that say it."""
    method = quantisation.get("quant_method")
    if method == "bitsandbytes" and quantisation.get("load_in_4bit"):
        told = str(quantisation.get("bnb_4bit_compute_dtype"))
        return told.removeprefix("torch.")
    known = {
        "bitsandbytes": "int8",
        "gptq": activations,
        "awq": activations,
        "fp8": "float8",
        "fbgemm_fp8": "float8",
    }
    return known.get(str(method))


def count(
    model: Any,
    run: Callable[[_Batch], int],
    batches: Sequence[_Batch],
    *,
    until_s: float,
) -> dict[str, Any]:
    """Operations of a pass by torch's own counter, with eager attention.

    Other attention kernels do the same work in calls that the counter does not know.
    `run` tells how many of its forward calls make the first tokens: the prefill.
    Raises Timeout at the first forward call that ends after `until_s` (monotonic).
    """
    mode = FlopCounterMode(display=False)
    after: list[int] = []
    held: dict[int, int] = {}
    most = 0

    def note(_module: Any, _inputs: Any, output: Any) -> None:
        after.append(mode.get_total_flops())
        cache = getattr(output, "past_key_values", None)
        held[id(cache)] = _cache_bytes(cache)
        if time.monotonic() > until_s:
            msg = f"counting took too long: {len(after)} forward calls were counted"
            raise Timeout(msg)

    prefill = 0
    handle = model.register_forward_hook(note)
    try:
        with _eager(model), mode:
            for batch in batches:
                before, first = mode.get_total_flops(), len(after)
                held.clear()
                calls = run(batch)
                prefill += after[first + calls - 1] - before
                most = max(most, sum(held.values()))
    finally:
        handle.remove()
        _forget()
    return {
        "prefill": prefill,
        "decode": mode.get_total_flops() - prefill,
        "kv_cache_mb": most / 1e6 if most else None,
    }


def trace(
    run: Callable[[_Batch], object], batches: Sequence[_Batch], path: Path
) -> dict[str, Any]:
    """A pass under torch's profiler, written as a chrome trace.

    `flops` is the profiler's own sum, which has additions and multiplications by
    element beside the matrix products.
    """
    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_initialized():
        activities.append(ProfilerActivity.CUDA)
    try:
        with profile(activities=activities, with_flops=True) as profiler:
            for batch in batches:
                run(batch)
    finally:
        _forget()
    profiler.export_chrome_trace(str(path))
    total = sum(event.flops or 0 for event in profiler.key_averages())
    return {"path": str(path), "flops": total}


@contextmanager
def _eager(model: Any) -> Iterator[None]:
    """Attention as plain matrix products, and afterwards as it was."""
    before = model.config._attn_implementation
    if before == "eager":
        yield
        return
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _forget() -> None:
    """Give back what the pass held, which would show in the memory of a later one."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _linear_weights(model: Any) -> int:
    """Weights of all matrices of the layers; the one that makes logits is not."""
    head = model.get_output_embeddings()
    return sum(
        module.weight.numel()
        for module in model.modules()
        if isinstance(module, (torch.nn.Linear, Conv1D)) and module is not head
    )


def _decode_weights_bytes(model: Any) -> int:
    """Parameters, without the embeddings if making logits has weights of its own."""
    whole = sum(each.nbytes for each in model.parameters())
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    if head is None or head.weight is table.weight:
        return int(whole)
    return int(whole - table.weight.nbytes)


def _cache_bytes(cache: Any) -> int:
    """What a cache object holds; 0 where it has no layers that can be read."""
    held = 0
    for layer in getattr(cache, "layers", None) or ():
        for tensor in (getattr(layer, "keys", None), getattr(layer, "values", None)):
            held += tensor.nbytes if isinstance(tensor, torch.Tensor) else 0
    return held


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
