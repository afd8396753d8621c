"""The scripted TensorRT-LLM on a GPU that is not there, in the process of the tests.

To import it takes its time, so each recording is imported once.
"""

import gc
import importlib
import sys
from pathlib import Path

import pytest

from tests.engines.driving import spec

SCRIPTED = Path(__file__).parents[2] / "data" / "scripted_tensorrt"


IMPORTED = {}


def of_the_library():
    """The modules of whichever recording is imported now."""
    return {n: m for n, m in sys.modules.items() if n.split(".")[0] == "tensorrt_llm"}


def forget():
    """What was imported of one recording is not that of another."""
    for name in of_the_library():
        del sys.modules[name]


@pytest.fixture
def gpus(monkeypatch):
    """Say which GPUs this process sees, by their compute capabilities."""
    from pytest_lem.engines.tensorrt import hardware

    def see(*capabilities):
        found = [
            hardware.Gpu(name=f"GPU {k}", capability=one)
            for k, one in enumerate(capabilities)
        ]
        monkeypatch.setattr(hardware, "gpus", lambda: found)

    see((9, 0))
    return see


@pytest.fixture(scope="module", autouse=True)
def frozen():
    """What libraries hold for good would be looked through at every unload."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def library(monkeypatch, gpus, tmp_path):
    """Import the scripted library as it was recorded of a version."""
    monkeypatch.syspath_prepend(str(SCRIPTED))
    monkeypatch.setenv("LEM_CACHE_DIR", str(tmp_path / "cache"))

    def imported(version="1.3"):
        forget()
        sys.modules.update(IMPORTED.get(version, {}))
        monkeypatch.setenv("SCRIPTED_TENSORRT_LLM", version)
        found = importlib.import_module("tensorrt_llm")
        for name in ("llmapi.llm_args", "executor.request", "plugin.plugin"):
            importlib.import_module(f"tensorrt_llm.{name}")
        IMPORTED[version] = of_the_library()
        sys.modules["tensorrt_llm._llm"].MADE.clear()
        return found

    yield imported
    forget()


@pytest.fixture
def spec_of(llama):
    """The spec of the tiny model with a section, as the laboratory sends it."""

    def made(*, strict=False, **changes):
        common = spec(llama, strict=strict)
        told = {key: changes[key] for key in common.keys() & changes.keys()}
        section = {key: one for key, one in changes.items() if key not in common}
        return {**common, **told, "engine": section}

    return made


@pytest.fixture
def start(library, spec_of):
    """Load the scripted engine with a section: it, and what the load reported."""
    from pytest_lem.engines.tensorrt.engine import TensorrtEngine

    made = []

    def started(version="1.3", **section):
        library(version)
        engine = TensorrtEngine()
        made.append(engine)
        return engine, engine.load(spec_of(**section))

    yield started
    for engine in made:
        engine.unload()


@pytest.fixture
def llms():
    """Every `LLM` that was made since, with its arguments."""

    def made():
        return list(sys.modules["tensorrt_llm._llm"].MADE)

    return made
