"""A GPU that this process is made to see, where `SCRIPTED_GPU` asks for it."""

import os
from types import SimpleNamespace


def pretend():
    """Have torch tell of one GPU; nothing can be computed on it."""
    if not (capability := os.environ.get("SCRIPTED_GPU")):
        return
    import torch

    major, minor = map(int, capability.split("."))
    properties = SimpleNamespace(
        name="scripted", major=major, minor=minor, total_memory=8e10
    )
    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: 1
    torch.cuda.get_device_properties = lambda _device=0: properties
