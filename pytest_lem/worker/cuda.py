"""What CUDA itself sees, and contexts opened on it, by the driver's own library.

`python -m pytest_lem.worker.cuda` prints the UUIDs in CUDA's order. The worker asks
so, in a process of its own, because a process that has initialised the driver can no
longer fork engines; contexts are opened in the worker, where the engine allows it.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import uuid

from pytest_lem.errors import EngineLoadError


def devices_asked_for() -> list[str]:
    """The GPUs this process was given, as CUDA sees them; none where none was given.

    EngineLoadError where CUDA does not start, or sees fewer than were given: an
    engine would go on with the CPU, and its numbers would mean something else.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if not any(given):
        return []
    command = [sys.executable, "-P", "-m", __name__]
    seen = subprocess.run(command, capture_output=True, text=True, check=False)
    devices = seen.stdout.split()
    if seen.returncode != 0 or len(devices) != len(given):
        reason = (seen.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        if seen.returncode == 0:
            reason = f"it sees {len(devices)} of these {len(given)} GPUs"
        msg = (
            f"CUDA does not start on {','.join(given)}: {reason}; "
            "check the driver and what this worker may access"
        )
        raise EngineLoadError(msg, detail=seen.stderr)
    return devices


def open_contexts() -> int:
    """Open the primary context of each GPU this process was given; how many.

    The primary context is the one that CUDA's runtime, and so an engine loaded later
    in this process, shares: nothing is opened twice. It stays open with the process.
    EngineLoadError where the driver refuses.
    """
    if not any(os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")):
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
            sys.stdout.write(f"GPU-{uuid.UUID(bytes=bytes(raw))}\n")
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
