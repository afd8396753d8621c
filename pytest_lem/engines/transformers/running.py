"""How torch is set while a model is loaded; everything is put back afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

_KERNELS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}
_ALLOCATOR = "PYTORCH_ALLOC_CONF"
_THREADS = "OMP_NUM_THREADS"


class Running:
    """torch's own settings of one experiment, from `start` to `stop`."""

    def __init__(self) -> None:
        self._undo = ExitStack()
        self._kernel: SDPBackend | None = None
        self._autocast: dict[str, Any] | None = None

    def start(self, section: Mapping[str, Any], device: torch.device) -> None:
        """Set what the section says, before the model is loaded."""
        self.stop()
        if (conf := section.get("alloc_conf")) is not None:
            self._environment(_ALLOCATOR, conf)
            self._set(_set_allocator, conf, allocator_settings())
        if (threads := section.get("num_threads")) is not None:
            self._environment(_THREADS, str(threads))
            self._set(torch.set_num_threads, threads, torch.get_num_threads())
        before = torch.get_float32_matmul_precision()
        if (precision := section.get("float32_matmul_precision")) is not None:
            self._set(torch.set_float32_matmul_precision, precision, before)
        if (allowed := section.get("allow_tf32")) is not None:
            self._undo.callback(torch.set_float32_matmul_precision, before)
            torch.backends.cuda.matmul.allow_tf32 = allowed
        if (kernel := section.get("sdpa_kernel")) is not None:
            self._kernel = _KERNELS[kernel]
        if (enabled := section.get("autocast_enabled")) is not None:
            dtype = section.get("autocast_dtype")
            self._autocast = {
                "device_type": device.type,
                "enabled": enabled,
                "dtype": None if dtype is None else getattr(torch, dtype),
            }

    def stop(self) -> None:
        """Put back what `start` changed."""
        self._undo.close()
        self._kernel = self._autocast = None

    @contextmanager
    def around(self) -> Iterator[None]:
        """The kernel and the automatic casts of one call of the model."""
        with ExitStack() as stack:
            if self._kernel is not None:
                stack.enter_context(sdpa_kernel([self._kernel]))
            if self._autocast is not None:
                stack.enter_context(torch.autocast(**self._autocast))
            yield

    def state(self, device: torch.device) -> dict[str, Any]:
        """What torch itself says of all of it, inside of `around`."""
        with self.around():
            autocast = torch.is_autocast_enabled(device.type)
            dtype = str(torch.get_autocast_dtype(device.type)).removeprefix("torch.")
            return {
                "allow_tf32": torch.backends.cuda.matmul.allow_tf32,
                "float32_matmul_precision": torch.get_float32_matmul_precision(),
                "num_threads": torch.get_num_threads(),
                "sdpa_kernel": _one_kernel(),
                "autocast_enabled": autocast,
                "autocast_dtype": dtype if autocast else None,
                "alloc_conf": allocator_settings() or None,
            }

    def _set(self, put: Callable[[Any], object], value: Any, before: Any) -> None:
        self._undo.callback(put, before)
        put(value)

    def _environment(self, name: str, value: str) -> None:
        self._undo.callback(_put_variable, name, os.environ.get(name))
        os.environ[name] = value


def allocator_settings() -> str:
    """How torch's allocator on GPUs is set; empty where it was left alone."""
    read = getattr(torch._C, "_accelerator_getAllocatorSettings", None)
    return str(read()) if read else os.environ.get(_ALLOCATOR, "")


def _set_allocator(conf: str) -> None:
    put = getattr(torch._C, "_accelerator_setAllocatorSettings", None)
    if put is None:
        put = torch.cuda.memory._set_allocator_settings
    put(conf)


def _one_kernel() -> str | None:
    """The only kernel that attention may use here, by its name; None for several."""
    enabled = {
        "flash": torch.backends.cuda.flash_sdp_enabled(),
        "efficient": torch.backends.cuda.mem_efficient_sdp_enabled(),
        "cudnn": torch.backends.cuda.cudnn_sdp_enabled(),
        "math": torch.backends.cuda.math_sdp_enabled(),
    }
    names = [name for name, one in enabled.items() if one]
    return names[0] if len(names) == 1 else None


def _put_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
