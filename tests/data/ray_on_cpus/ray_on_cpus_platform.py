"""The platform itself, which imports vLLM."""

from vllm.platforms.cpu import CpuPlatform


class RayOnCpus(CpuPlatform):
    """CPUs, under the name of what nodes have one of."""

    ray_device_key = "GPU"
