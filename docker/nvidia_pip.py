"""pip, with NVIDIA's own index beside the others; says in one line where that fails.

TensorRT-LLM is on that index alone, and what PyPI has of it is a stub that fetches it
from there. `python docker/nvidia_pip.py ARGUMENTS` is `python -m pip install
ARGUMENTS`; tox and the Dockerfile of TensorRT-LLM install by it.
"""

import os
import platform
import subprocess
import sys

INDEX = "https://pypi.nvidia.com"
OPTIONS = (
    *("--extra-index-url", INDEX),
    "--quiet",
    *("--only-binary", "tensorrt-llm"),
    *("--retries", "1", "--timeout", "20"),
)


def main(arguments: list[str]) -> int:
    """The exit status of pip."""
    command = [sys.executable, "-m", "pip", "install", *OPTIONS, *arguments]
    environment = dict(os.environ)
    if (
        "-r" in arguments
    ):  # exact versions: a constraint would only hide what is missing
        environment.pop("PIP_CONSTRAINT", None)
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as pip:
        assert pip.stderr is not None
        told = [line.rstrip() for line in pip.stderr]
    errors = [line for line in told if line.startswith("ERROR:")]
    if pip.returncode:
        reason = (errors or told or ["pip gave no reason"])[-1].removeprefix("ERROR: ")
        print(  # noqa: T201 - what it is for
            f"cannot install {' '.join(arguments)}: {reason} (here is Python "
            f"{platform.python_version()} on {platform.system()} "
            f"{platform.machine()}; TensorRT-LLM wants Python 3.12 on Linux, and is on "
            f"{INDEX} alone, or in an image: docker/tensorrt.Dockerfile)",
            file=sys.stderr,
        )
    return pip.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
