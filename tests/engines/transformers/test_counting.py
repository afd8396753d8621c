"""The closed form against torch's own counter, on tiny models of the real library."""

import json
import time
from pathlib import Path

import pytest

from pytest_lem.analysis.architecture import from_config, from_facts, parameter_count
from pytest_lem.analysis.flops import Work, closed_form, kv_cache_bytes
from pytest_lem.engines import GenerateOptions
from pytest_lem.errors import Timeout
from pytest_lem.workload import models

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from pytest_lem.engines.transformers import (  # noqa: E402
    counting,
    loading,
)
from pytest_lem.engines.transformers import engine as room  # noqa: E402

SIZES = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "vocab_size": 160,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
WIDE = {**GROUPED, "head_dim": 32}
OLD = {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 128, "vocab_size": 160}
FAMILIES = {
    "llama": ("llama", SIZES),
    "llama-grouped": ("llama", GROUPED),
    "llama-tied": ("llama", {**GROUPED, "tie_word_embeddings": True}),
    "llama-biased": ("llama", {**GROUPED, "attention_bias": True, "mlp_bias": True}),
    "mistral": ("mistral", {**GROUPED, "sliding_window": None}),
    "qwen2": ("qwen2", GROUPED),
    "qwen3": ("qwen3", WIDE),
    "gemma": ("gemma", WIDE),
    "gemma2": ("gemma2", WIDE),
    "gemma3_text": ("gemma3_text", WIDE),
    "granite": ("granite", GROUPED),
    "smollm3": ("smollm3", {**GROUPED, "pad_token_id": 0}),
    "phi": ("phi", SIZES),
    "phi3": ("phi3", {**GROUPED, "pad_token_id": 0, "sliding_window": None}),
    "olmo": ("olmo", GROUPED),
    "olmo2": ("olmo2", GROUPED),
    "stablelm": ("stablelm", {**GROUPED, "use_qkv_bias": True}),
    "starcoder2": ("starcoder2", {**GROUPED, "sliding_window": None}),
    "gpt_neox": ("gpt_neox", SIZES),
    "gptj": ("gptj", {**OLD, "rotary_dim": 8}),
    "gpt2": ("gpt2", OLD),
    "gpt2-inner": ("gpt2", {**OLD, "n_inner": 96}),
    "opt": ("opt", {**SIZES, "ffn_dim": 96, "word_embed_proj_dim": 64}),
}
ROWS = [[5, 6, 7], [8, 9, 10, 11, 12, 13, 14], [15, 16]]


def built(name):
    """A tiny model with random weights."""
    model_type, sizes = FAMILIES[name]
    config = transformers.AutoConfig.for_model(model_type, **sizes)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def engine_with(model):
    """An engine that has this model, as if it had loaded it."""
    made = room.TransformersEngine()
    made._model, made._context = model, 128
    made._tokenizer = type("Tokenizer", (), {"pad_token_id": 0})()
    return made


def counted(engine, *, until_s=None, **options):
    """What the engine's own counter says of a pass over the three rows."""
    asked = GenerateOptions(
        **{"output_tokens": 5, "min_output_tokens": 5, "batch_size": 2, **options}
    )
    batches = engine.prepare(ROWS, asked)
    limit_s = time.monotonic() + 60 if until_s is None else until_s
    return engine.count_flops(batches, asked, until_s=limit_s)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_closed_form_is_exactly_what_torch_counts(name):
    """Prefill and decode of padded batches, for every family that is known."""
    model = built(name)
    facts = counting.shape_facts(model)
    found = counted(engine_with(model))
    shape = from_facts(facts)
    form = closed_form(shape, found["work"])
    assert facts["closed_form"] == "checked"
    assert found["work"] == [Work(2, 0, 7, 5), Work(1, 0, 2, 5)]
    assert (found["prefill"], found["decode"]) == (form.prefill, form.decode)
    assert found["kv_cache_mb"] * 1e6 == kv_cache_bytes(shape, found["work"], 4)


def test_rows_that_wait_for_the_longest_are_counted_as_computed():
    """A batch has the steps of its longest answer, for all of its rows."""
    model = built("llama-grouped")
    found = counted(engine_with(model), output_limits=(2, 5, 3))
    form = closed_form(from_config(model.config.to_dict()), found["work"])
    assert found["work"] == [Work(2, 0, 7, 5), Work(1, 0, 2, 3)]
    assert (found["prefill"], found["decode"]) == (form.prefill, form.decode)


@pytest.mark.parametrize("name", FAMILIES)
def test_parameters_from_the_config_are_those_of_the_model(name):
    """Exactly, with norms, biases and learned positions."""
    model = built(name)
    count = sum(each.numel() for each in model.parameters())
    assert parameter_count(model.config.to_dict()) == count


def test_beams_are_rows_of_their_own():
    """Three beams are computed from the prefill on."""
    model = built("llama-grouped")
    found = counted(engine_with(model), decoder={"num_beams": 3})
    form = closed_form(from_config(model.config.to_dict()), found["work"])
    assert found["work"][0].rows == 6
    assert (found["prefill"], found["decode"]) == (form.prefill, form.decode)


@pytest.mark.parametrize(
    "section",
    [
        {"use_cache": False},
        {"prefill_chunk_size": 3},
        {"guidance_scale": 2.0},
        {"guidance_scale": 2.0, "prefill_chunk_size": 2},
        {"guidance_scale": 1.0, "use_cache": False},
    ],
)
@pytest.mark.parametrize("beams", [1, 2])
def test_other_ways_through_the_model_are_counted_exactly(section, beams):
    """Without a cache, in chunks, and twice; the caches are those that were held."""
    model = built("llama-grouped")
    engine = engine_with(model)
    engine._section = section
    found = counted(engine, decoder={"num_beams": beams})
    shape = from_config(model.config.to_dict())
    form = closed_form(shape, found["work"])
    assert (found["prefill"], found["decode"]) == (form.prefill, form.decode)
    held = kv_cache_bytes(shape, found["work"], 4)
    assert (found["kv_cache_mb"] or 0) * 1e6 == pytest.approx(held)


def test_guidance_without_a_cache_tells_no_work():
    """Its logits are of every token, which no closed form here has."""
    engine = engine_with(built("llama"))
    engine._section = {"guidance_scale": 2.0, "use_cache": False}
    assert counted(engine)["work"] is None


def test_beams_of_a_free_length_tell_no_work():
    """The best may be shorter than the search: nobody knows how many calls."""
    found = counted(
        engine_with(built("llama")), min_output_tokens=None, decoder={"num_beams": 2}
    )
    assert found["work"] is None


def test_counting_leaves_the_attention_as_it_was():
    """The counter knows no fused kernels; the pass afterwards has its own again."""
    model = built("llama")
    assert model.config._attn_implementation == "sdpa"
    counted(engine_with(model))
    assert model.config._attn_implementation == "sdpa"


def test_a_count_that_takes_too_long_ends_and_leaves_nothing_behind():
    """It stops at the first forward call past its limit."""
    model = built("llama")
    with pytest.raises(Timeout, match="1 forward calls were counted"):
        counted(engine_with(model), until_s=time.monotonic())
    assert model.config._attn_implementation == "sdpa"
    assert not model._forward_hooks


def test_a_mixture_of_experts_has_no_closed_form():
    """Which experts work is not told by the config."""
    config = transformers.AutoConfig.for_model("mixtral", **GROUPED)
    model = transformers.AutoModelForCausalLM.from_config(config)
    facts = counting.shape_facts(model)
    assert facts["closed_form"] is None
    assert facts["no_closed_form"] == "mixture_of_experts"


def test_a_model_whose_matrices_differ_from_its_config_has_no_closed_form():
    """One more matrix in a layer, such as an adapter brings, is noticed."""
    model = built("llama")
    model.model.layers[0].extra = torch.nn.Linear(64, 8)
    assert counting.shape_facts(model)["no_closed_form"] == "weights_differ"


@pytest.mark.parametrize("name", ["llama", "llama-tied"])
def test_a_step_reads_all_weights_but_a_table_of_its_own(name):
    """Embeddings are looked up row by row, unless they make the logits as well."""
    model = built(name)
    whole = sum(each.nbytes for each in model.parameters())
    table = 0 if name == "llama-tied" else 64 * 160 * 4
    facts = counting.shape_facts(model)
    assert facts["decode_weights_mb"] * 1e6 == pytest.approx(whole - table)
    assert facts["kv_cache_element_bytes"] == 4


def test_precision_is_told_by_shares_of_the_weights_bytes():
    """Half of the bytes in another type are half."""
    model = built("llama").to(torch.bfloat16)
    assert counting.precision(model) == {
        "weights": {"bfloat16": 1.0},
        "activations": "bfloat16",
        "compute": "bfloat16",
        "quantisation": None,
    }
    model.lm_head.to(torch.float32)
    shares = counting.precision(model)["weights"]
    head = 64 * 160 * 4
    whole = sum(each.nbytes for each in model.parameters())
    assert shares["float32"] == head / whole
    assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("quantisation", "compute"),
    [
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8"),
        (
            {
                "quant_method": "bitsandbytes",
                "load_in_4bit": True,
                "bnb_4bit_compute_dtype": "bfloat16",
            },
            "bfloat16",
        ),
        ({"quant_method": "gptq", "bits": 4}, "float32"),
        ({"quant_method": "fp8"}, "float8"),
        ({"quant_method": "made-up"}, None),
    ],
)
def test_quantised_weights_say_what_products_run_in(quantisation, compute):
    """As the quantisation states it; the shape is not checked against packed weights.

    The packages that quantise need a GPU: the model here has only what they write.
    """
    model = built("llama")
    model.config.quantization_config = quantisation
    assert counting.precision(model)["compute"] == compute
    assert counting.precision(model)["quantisation"] == quantisation
    assert counting.shape_facts(model)["closed_form"] == "unchecked"


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """An engine with the tiny checkpoint."""
    model = models.resolve(
        "synthetic:llama-tiny",
        backend="transformers",
        cache_dir=tmp_path_factory.mktemp("cache"),
    )
    made = room.TransformersEngine()
    made.load(
        {
            "model": model.path,
            "weights": "checkpoint",
            "weights_seed": 0,
            "revision": None,
            "trust_remote_code": False,
            "precision": None,
            "engine": {"device": "cpu"},
            "strict": False,
            "gpus_expected": 0,
        }
    )
    yield made
    made.unload()


def test_the_profiler_runs_in_its_own_pass_and_in_no_other(engine, tmp_path):
    """A chrome trace with the profiler's sum; measured passes never see it (O09)."""
    seen = []
    hook = engine._model.register_forward_pre_hook(
        lambda *_: seen.append(torch.autograd._profiler_enabled())
    )
    options = GenerateOptions(output_tokens=3, min_output_tokens=3)
    batches = engine.prepare(ROWS[:1], options)
    try:
        engine.run(batches[0], options)
        found = engine.profile(batches, options, tmp_path / "trace.json")
        engine.run(batches[0], options)
        engine.count_flops(batches, options, until_s=time.monotonic() + 60)
    finally:
        hook.remove()
    assert seen == [False] * 3 + [True] * 3 + [False] * 6
    work = [Work(1, 0, 3, 3)]
    shape = from_config(engine._model.config.to_dict())
    assert found["flops"] >= closed_form(shape, work).total * 0.9
    names = {
        event.get("name")
        for event in json.loads(Path(found["path"]).read_text())["traceEvents"]
    }
    assert "aten::mm" in names


def test_memory_of_a_pass_is_that_of_every_gpu(monkeypatch):
    """Peaks allocated and reserved, each summed over the GPUs that hold the model."""
    allocated, reserved = {0: 3_000_000, 1: 4_000_000}, {0: 5_000_000, 1: 6_000_000}
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", allocated.get)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", reserved.get)
    found = loading.pass_memory([0, 1])
    assert (found["inference_peak_mb"], found["reserved_peak_mb"]) == (7.0, 11.0)
    bare = loading.pass_memory([])
    assert (bare["inference_peak_mb"], bare["reserved_peak_mb"]) == (None, None)


def test_what_a_pass_computed_is_told_with_its_tokens(engine):
    """Rows, padded widths and steps of each batch."""
    options = GenerateOptions(output_tokens=4, min_output_tokens=4, batch_size=2)
    batches = engine.prepare(ROWS, options)
    outcomes = [engine.run(one, options) for one in batches]
    collected = engine.collect(batches, outcomes, [(0, 1)] * 2, options)
    assert collected["work"] == [Work(2, 0, 7, 4), Work(1, 0, 2, 4)]
    new = sum(one.rows * one.new for one in collected["work"])
    assert new == sum(map(len, ROWS)) + collected["padding_tokens"]
