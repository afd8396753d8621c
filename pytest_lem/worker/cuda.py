"""What CUDA itself sees, and contexts opened on it, by the driver's own library.

`python -m pytest_lem.worker.cuda` prints the UUIDs in CUDA's order, which do not say
whether they are of GPUs or of MIG instances. The worker asks so, in a process of its
own, because a process that has initialised the driver can no longer fork engines;
contexts are opened in the worker, where the engine allows it.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import uuid
from collections.abc import Sequence

from pytest_lem.errors import EngineLoadError
from pytest_lem.worker.devices import given


def devices_asked_for() -> list[str]:
    """The GPUs this process was given, once CUDA sees the same; none where none was.

    EngineLoadError where CUDA does not start, or sees fewer or others: an engine would
    go on with the CPU, or a GPU that is not metered, and its numbers would mean
    something else.
    """
    gpus = given(os.environ)
    if not gpus:
        return []
    command = [sys.executable, "-P", "-m", __name__]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    seen = asked.stdout.split()
    if asked.returncode != 0 or seen != [one.partition("-")[2] for one in gpus]:
        reason = (asked.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        if asked.returncode == 0 and len(seen) != len(gpus):
            reason = f"it sees {len(seen)} of these {len(gpus)} GPUs"
        elif asked.returncode == 0:
            reason = f"it sees others, {','.join(seen)}"
        msg = (
            f"CUDA does not start on {','.join(gpus)}: {reason}; "
            "check the driver and what this worker may access"
        )
        raise EngineLoadError(msg, detail=asked.stderr)
    return gpus


def named(devices: Sequence[str]) -> list[str]:
    """Devices of this process as an engine tells them, `cuda:1` by its UUID."""
    names = {f"cuda:{k}": uuid for k, uuid in enumerate(given(os.environ))}
    return [names.get(one, one) for one in devices]


def open_contexts() -> int:
    """Open the primary context of each GPU this process was given; how many.

    The primary context is the one that CUDA's runtime, and so an engine loaded later
    in this process, shares: nothing is opened twice. It stays open with the process.
    EngineLoadError where the driver refuses.
    """
    if not given(os.environ):
        return 0
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        devices = _devices(driver)
        for device in devices:
            context = ctypes.c_void_p()
            retain = driver.cuDevicePrimaryCtxRetain
            _check("cuDevicePrimaryCtxRetain", retain(ctypes.byref(context), device))
    except (OSError, RuntimeError) as error:
        msg = f"no CUDA context could be opened: {error}"
        raise EngineLoadError(msg) from error
    return len(devices)


def _main() -> None:
    driver = ctypes.CDLL("libcuda.so.1")
    try:
        for device in _devices(driver):
            raw = (ctypes.c_ubyte * 16)()
            uuid_of = driver.cuDeviceGetUuid_v2
            _check("cuDeviceGetUuid", uuid_of(ctypes.byref(raw), device))
            sys.stdout.write(f"{uuid.UUID(bytes=bytes(raw))}\n")
    except RuntimeError as error:
        sys.exit(str(error))


def _devices(driver: ctypes.CDLL) -> list[ctypes.c_int]:
    """The devices that the driver shows this process, in its order."""
    _check("cuInit", driver.cuInit(0))
    count = ctypes.c_int()
    _check("cuDeviceGetCount", driver.cuDeviceGetCount(ctypes.byref(count)))
    devices = [ctypes.c_int() for _ in range(count.value)]
    for ordinal, device in enumerate(devices):
        _check("cuDeviceGet", driver.cuDeviceGet(ctypes.byref(device), ordinal))
    return devices


def _check(call: str, status: int) -> None:
    if status != 0:
        msg = f"{call} returned CUDA error {status}"
        raise RuntimeError(msg)


if __name__ == "__main__":
    _main()
