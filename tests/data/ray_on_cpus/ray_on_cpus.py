"""A platform of vLLM's for tests: CPUs, of which Ray gives out one for each rank.

vLLM's own names no resource of Ray's, and so has no ranks on other nodes.
"""


def name():
    """Where the platform is; vLLM asks before it is imported itself."""
    return "ray_on_cpus_platform.RayOnCpus"
