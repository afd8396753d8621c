"""Fixtures of all tests: a simulated NVIDIA driver, for machines without a GPU.

What is imported for nothing cannot be imported twice: pytester forgets the modules that
inner tests import.
"""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy  # noqa: F401
import pytest
import rich.console
import rich.table  # noqa: F401
import scipy.special
import scipy.stats  # noqa: F401
import yaml  # noqa: F401

import pytest_lem.front.session  # noqa: F401
from pytest_lem.machine import gpu
from tests.driver import Driver

with suppress(ImportError):
    import pyarrow.parquet  # noqa: F401
with suppress(ImportError):
    import alembic.operations  # noqa: F401
    import sqlalchemy  # noqa: F401
with suppress(ImportError):
    import codecarbon.output  # noqa: F401
with suppress(ImportError):
    import jinja2  # noqa: F401
with suppress(ImportError):
    import setuptools  # noqa: F401


# Speed is no matter of these tests, and their machine may be busy.
with suppress(ImportError):
    import hypothesis

    hypothesis.settings.register_profile("calm", deadline=None)
    hypothesis.settings.load_profile("calm")


# A shell's background job ignores Ctrl-C, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def cuda_driver(tmp_path, monkeypatch):
    """Put a simulated library of CUDA's driver before processes started later."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build a simulated driver with")
    source = Path(__file__).parent / "data" / "driver.c"
    folder = tmp_path / "cuda"
    folder.mkdir()
    command = [compiler, "-shared", "-fPIC", "-o", folder / "libcuda.so.1", source]
    subprocess.run(command, check=True, capture_output=True)
    paths = [str(folder), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    monkeypatch.setenv("LD_LIBRARY_PATH", os.pathsep.join(paths))
    return folder


@pytest.fixture
def driver(monkeypatch):
    """Put a simulated driver in place of the real one, whose GPUs nothing names."""
    for name in ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    # Who still reads the one, as a thread that hangs does, is no user of the other.
    monkeypatch.setattr(gpu, "_users", set())

    def put(powers_w, **kwargs):
        simulated = Driver(powers_w, **kwargs)
        monkeypatch.setitem(sys.modules, "pynvml", simulated)
        return simulated

    return put
