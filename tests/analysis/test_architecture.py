"""Shapes read from config.json, and the parameters that they have."""

import json
from pathlib import Path

import pytest

import pytest_lem.workload
from pytest_lem.analysis.architecture import (
    NoArchitecture,
    from_config,
    from_facts,
    parameter_count,
)

SHAPES = json.loads(
    (Path(pytest_lem.workload.__file__).parent / "shapes.json").read_text()
)


def decoder(model_type, layers, hidden, heads, inner, vocab, **others):
    return {
        "model_type": model_type,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "vocab_size": vocab,
        **others,
    }


# Published sizes of well-known checkpoints.
KNOWN = {
    "llama-3-8b": (
        decoder(
            *("llama", 32, 4096, 32, 14336, 128256),
            num_key_value_heads=8,
            tie_word_embeddings=False,
        ),
        8_030_261_248,
    ),
    "qwen2.5-0.5b": (
        decoder(
            *("qwen2", 24, 896, 14, 4864, 151936),
            num_key_value_heads=2,
            tie_word_embeddings=True,
            use_sliding_window=False,
            sliding_window=32768,
        ),
        494_032_768,
    ),
    "qwen3-0.6b": (
        decoder(
            *("qwen3", 28, 1024, 16, 3072, 151936),
            num_key_value_heads=8,
            tie_word_embeddings=True,
        ),
        596_049_920,
    ),
    "mistral-7b": (
        decoder(
            *("mistral", 32, 4096, 32, 14336, 32000),
            num_key_value_heads=8,
            tie_word_embeddings=False,
        ),
        7_241_732_096,
    ),
    "gemma-2b": (
        decoder("gemma", 18, 2048, 8, 16384, 256000, num_key_value_heads=1),
        2_506_172_416,
    ),
    "pythia-160m": (
        decoder("gpt_neox", 12, 768, 12, 3072, 50304, tie_word_embeddings=False),
        162_322_944,
    ),
    "opt-125m": (
        {
            **decoder("opt", 12, 768, 12, None, 50272),
            "ffn_dim": 3072,
            "max_position_embeddings": 2048,
            "word_embed_proj_dim": 768,
        },
        125_239_296,
    ),
    "phi-2": (
        decoder("phi", 32, 2560, 32, 10240, 51200, tie_word_embeddings=False),
        2_779_683_840,
    ),
    "gpt2": (
        {
            "model_type": "gpt2",
            "n_layer": 12,
            "n_embd": 768,
            "n_head": 12,
            "n_positions": 1024,
            "vocab_size": 50257,
        },
        124_439_808,
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_parameters_of_known_checkpoints_come_out_exactly(name):
    """From config.json alone: grouped heads, gated MLPs, tied embeddings, biases."""
    config, published = KNOWN[name]
    assert parameter_count(config) == published


@pytest.mark.parametrize("name", SHAPES)
def test_the_parameters_of_our_own_shapes_come_out_exactly(name):
    """What the table of shapes says of each is what its config counts to."""
    shape = SHAPES[name]
    assert parameter_count(shape["config"]) == shape["parameters"]


def test_what_the_file_leaves_out_is_the_familys_default():
    """Ties, head widths and inner widths that only the model's code knows."""
    gpt2, gemma = from_config(KNOWN["gpt2"][0]), from_config(KNOWN["gemma-2b"][0])
    assert (gpt2.intermediate_size, gpt2.head_dim) == (3072, 64)
    assert gpt2.tied_embeddings
    assert (gemma.query_width, gemma.key_value_width) == (2048, 256)


def test_a_window_that_is_switched_off_is_none():
    """Qwen's files have one that is not used."""
    assert from_config(KNOWN["qwen2.5-0.5b"][0]).sliding_window is None


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (decoder("llama", 2, 64, 4, 96, 99, num_local_experts=8), "mixture_of_experts"),
        (decoder("strange", 2, 64, 4, 96, 99), "unknown_architecture"),
        (decoder("llama", None, 64, 4, 96, 99), "unknown_architecture"),
        (
            decoder("opt", 2, 64, 4, 96, 99, word_embed_proj_dim=32),
            "unknown_architecture",
        ),
        ({}, "unknown_architecture"),
    ],
)
def test_what_has_no_closed_form_says_why(config, reason):
    """No guess for experts, unknown families, missing or additional matrices."""
    with pytest.raises(NoArchitecture, match=reason):
        from_config(config)


def test_facts_of_an_engine_are_an_architecture_if_they_are_whole():
    """And an engine that knows better says why there is no closed form."""
    shape = from_config(KNOWN["llama-3-8b"][0])
    facts = {**shape.to_json(), "dtype": "float16"}
    assert from_facts(facts) == shape
    with pytest.raises(NoArchitecture, match="unknown_architecture"):
        from_facts({**facts, "gated_mlp": None})
    with pytest.raises(NoArchitecture, match="weights_differ"):
        from_facts({**facts, "no_closed_form": "weights_differ"})
