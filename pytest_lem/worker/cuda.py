"""What CUDA itself sees, asked of the driver in a process of its own.

`python -m pytest_lem.worker.cuda` prints the UUIDs in CUDA's order. The worker asks
so, because a process that has initialised the driver can no longer fork engines.
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


def _main() -> None:
    driver = ctypes.CDLL("libcuda.so.1")
    _check("cuInit", driver.cuInit(0))
    count = ctypes.c_int()
    _check("cuDeviceGetCount", driver.cuDeviceGetCount(ctypes.byref(count)))
    for ordinal in range(count.value):
        device, raw = ctypes.c_int(), (ctypes.c_ubyte * 16)()
        _check("cuDeviceGet", driver.cuDeviceGet(ctypes.byref(device), ordinal))
        _check("cuDeviceGetUuid", driver.cuDeviceGetUuid_v2(ctypes.byref(raw), device))
        sys.stdout.write(f"GPU-{uuid.UUID(bytes=bytes(raw))}\n")


def _check(call: str, status: int) -> None:
    if status != 0:
        sys.exit(f"{call} returned CUDA error {status}")


if __name__ == "__main__":
    _main()
