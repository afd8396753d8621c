"""torch.compile on the real library: compiled in the warm-up, told apart, or undone."""

import time
from types import SimpleNamespace

import pytest

from pytest_lem.engines import GenerateOptions
from pytest_lem.errors import ConfigError, GenerationError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from pytest_lem.engines.transformers.compile import Compiling  # noqa: E402
from pytest_lem.engines.transformers.effective import self_compiled  # noqa: E402

STATIC = "_dynamo_static_input_type"
"""What torch marks a tensor by that keeps its address."""


@pytest.fixture(scope="module")
def compiled(load):
    """A compiled engine; this backend traces as all do, and makes no machine code."""
    return load(torch_compile=True, torch_compile_backend="aot_eager")


@pytest.mark.proves("transformers.torch_compile", "transformers.torch_compile_backend")
def test_the_first_pass_compiles_and_the_next_does_not(load, ask, rows, bare):
    """With the tokens of the model as it was; the seconds are told of their pass."""
    engine, loaded = load(torch_compile=True, torch_compile_backend="aot_eager")
    assert loaded.effective["torch_compile"] == {
        "backend": "aot_eager",
        "mode": "default",
        "compiled": True,
    }
    prompts = rows(5, 5)
    first, second = (ask(engine, prompts) for _ in range(2))
    for got in (first, second):
        assert [one.output_ids for one in got["completions"]] == [
            bare(row, 12) for row in prompts
        ]
    spent, later = (each["native"]["compile"] for each in (first, second))
    assert spent["before_s"] == later["in_pass_s"] == 0
    assert later["before_s"] == spent["in_pass_s"] > 0
    assert later["compilations"] == spent["compilations"] > 0
    assert spent["graph_breaks"] == 0
    assert first["native"]["flags"] == ["compiled_in_window"]
    assert second["native"]["flags"] == []


def test_operations_are_counted_of_what_was_not_compiled(compiled, load, rows):
    """The counter sees the same as without."""
    options = GenerateOptions(output_tokens=3, min_output_tokens=3)
    counts = []
    for engine in (compiled[0], load()[0]):
        batches = engine.prepare(rows(6), options)
        until_s = time.monotonic() + 60
        counts.append(engine.count_flops(batches, options, until_s=until_s))
    assert counts[0]["decode"] == counts[1]["decode"] > 0
    assert counts[0]["prefill"] == counts[1]["prefill"]


def broken(_graph, _inputs):
    """A backend that compiles nothing."""
    msg = "no compiler here"
    raise RuntimeError(msg)


def test_what_cannot_be_compiled_runs_as_it_was(load, ask, rows, bare):
    """The pass is flagged, with the reason."""
    engine, _ = load(torch_compile=True, torch_compile_backend=broken)
    (prompt,) = rows(5)
    got = ask(engine, [prompt])
    assert got["completions"][0].output_ids == bare(prompt, 12)
    assert "compile_fallback" in got["native"]["flags"]
    assert "no compiler here" in got["native"]["compile"]["fallback"]
    assert not hasattr(engine._model.forward, "_torchdynamo_orig_callable")


def test_what_cannot_be_compiled_is_an_error_if_strict(load, ask, rows):
    """Nothing else is measured in its place."""
    engine, _ = load(torch_compile=True, torch_compile_backend=broken, strict=True)
    with pytest.raises(GenerationError, match="no compiler here"):
        ask(engine, rows(5))


def test_a_backend_that_is_none_is_refused_at_load(load):
    """With those that there are."""
    with pytest.raises(ConfigError, match=r"'inducter' is none of .*inductor"):
        load(torch_compile=True, torch_compile_backend="inducter")


def test_modes_with_cuda_graphs_say_that_there_is_no_gpu(load):
    """torch leaves the graphs out without a word."""
    assert load(torch_compile="reduce-overhead")[1].flags == ["no_cuda_graphs"]
    assert load(torch_compile="max-autotune-no-cudagraphs")[1].flags == []
    with pytest.raises(ConfigError, match="there is no GPU"):
        load(torch_compile="reduce-overhead", strict=True)


@pytest.mark.proves(
    "transformers.torch_compile_fullgraph",
    "transformers.torch_compile_dynamic",
    "transformers.torch_compile_options",
)
@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ({"torch_compile": "max-autotune-no-cudagraphs"}, "mode", None),
        ({"torch_compile_fullgraph": True}, "fullgraph", True),
        ({"torch_compile_dynamic": False}, "dynamic", False),
        ({"torch_compile_options": {"epilogue_fusion": False}}, "options", None),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_arguments_reach_torch_compile(load, monkeypatch, section, key, value):
    """As torch itself is called."""
    calls = []
    real = torch.compile

    def heard(forward, **told):
        calls.append(told)
        return real(forward, **told)

    monkeypatch.setattr(torch, "compile", heard)
    load(**{"torch_compile": True, **section})
    (given,) = section.values()
    assert calls[0][key] == (given if value is None else value)


@pytest.mark.slow
def test_inductor_makes_code_that_generates_the_same(load, ask, rows, bare):
    """The default backend, with a C++ compiler on CPUs."""
    engine, _ = load(torch_compile=True)
    (prompt,) = rows(5)
    first = ask(engine, [prompt])
    assert first["completions"][0].output_ids == bare(prompt, 12)
    assert first["native"]["compile"]["fallback"] is None
    assert ask(engine, [prompt])["native"]["flags"] == []


def test_what_a_static_cache_compiles_is_told_too(load, ask, rows, bare):
    """The library does it by itself on GPUs; a switch of its own does it on a CPU."""
    ready = transformers.CompileConfig(backend="aot_eager", mode=None)
    ready._compile_all_devices = True
    engine, _ = load(cache_implementation="static")
    engine._beside = lambda _config: {"compile_config": ready}
    engine._compiled = Compiling({})
    (prompt,) = rows(5)
    first, second = (ask(engine, [prompt]) for _ in range(2))
    assert first["completions"][0].output_ids == bare(prompt, 12)
    assert first["native"]["flags"] == ["compiled_in_window"]
    assert first["native"]["compile"]["in_pass_s"] > 0
    assert second["native"]["flags"] == []
    assert second["native"]["compile"]["before_s"] > 0


@pytest.mark.parametrize(
    ("generation", "device", "mode"),
    [
        ({"cache_implementation": "static"}, "cuda", "reduce-overhead"),
        (
            {"cache_implementation": "static", "compile_config": {"mode": "default"}},
            "cuda",
            "default",
        ),
        ({"cache_implementation": "static"}, "cpu", None),
        ({"cache_implementation": "static", "disable_compile": True}, "cuda", None),
        ({"cache_implementation": "offloaded"}, "cuda", None),
        ({}, "cuda", None),
    ],
)
def test_a_cache_of_fixed_size_compiles_by_itself_on_gpus(
    generation, device, mode, load
):
    """Unless that is disabled; `effective` then says how."""
    model = load()[0]._model
    there = SimpleNamespace(
        device=torch.device(device),
        _default_compile_config=model._default_compile_config,
    )
    found = self_compiled(generation, there)
    assert (found or {}).get("mode") == mode
    assert load()[1].effective["torch_compile"] is None


def test_a_cache_of_fixed_size_is_there_before_what_is_compiled(load, ask, rows, bare):
    """Made outside of it, its address can be relied upon; the library adds nothing."""
    engine, loaded = load(
        torch_compile=True, torch_compile_backend="eager", cache_implementation="static"
    )
    caches = []
    engine._model.register_forward_hook(
        lambda _, __, output: caches.append(output.past_key_values)
    )
    prompts = rows(5, 5)
    for _ in range(2):
        found = [one.output_ids for one in ask(engine, prompts)["completions"]]
        assert found == [bare(prompt, 12) for prompt in prompts]
    assert all(hasattr(one.layers[0].keys, STATIC) for one in caches)
    assert loaded.effective["generation"]["disable_compile"]


def test_recordings_of_graphs_are_told_apart_from_compilations(load, ask, rows):
    """They come again and again where caches move; torch says which it was."""
    engine, _ = load(torch_compile=True, torch_compile_backend="eager")
    told = [ask(engine, rows(5))["native"] for _ in range(2)]
    handler = torch._dynamo.callback_handler
    trigger = torch._dynamo.callback.CallbackTrigger.CUDAGRAPH_RECORDING

    def record(*_):
        with handler.install_callbacks(trigger, "0/0"):
            pass

    engine._model.register_forward_pre_hook(record)
    told.append(ask(engine, rows(5))["native"])
    assert [one["compile"]["graph_recordings"] for one in told] == [0, 0, 12]
    assert len({one["compile"]["compilations"] for one in told}) == 1
    assert told[-1]["flags"] == ["graphs_recorded_in_window"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_static_cache_is_compiled_before_the_window_on_a_gpu(load, ask, rows):
    """The first passes pay, as a warm-up does; later ones have nothing to compile."""
    engine, loaded = load(device="cuda", cache_implementation="static")
    assert loaded.effective["torch_compile"]["by"] == "cache_implementation"
    prompts = rows(5, 5)
    first, *_, last = (ask(engine, prompts)["native"] for _ in range(4))
    assert "compiled_in_window" in first["flags"]
    assert last["compile"]["before_s"] > 0
    assert "compiled_in_window" not in last["flags"]
    assert last["compile"]["graph_skips"] == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_cuda_graphs_generate_what_the_model_does(load, ask, rows, bare):
    """With a cache of fixed size; the last pass has nothing to compile."""
    section = {"torch_compile": "reduce-overhead", "cache_implementation": "static"}
    engine, loaded = load(device="cuda", **section)
    assert loaded.flags == []
    prompts = rows(5, 5)
    *_, last = (ask(engine, prompts) for _ in range(4))
    found = [one.output_ids for one in last["completions"]]
    assert found == [bare(prompt, 12) for prompt in prompts]
    assert "compiled_in_window" not in last["native"]["flags"]
    assert last["native"]["compile"]["graph_recordings"] > 0
    assert last["native"]["compile"]["graph_skips"] == 0
    assert last["native"]["compile"]["fallback"] is None
