"""Drafts on the real vLLM: the tokens stay the same, and what is kept is counted."""

import json

import pytest

pytest.importorskip("vllm")

from pytest_lem.engines.vllm.speculation import speculative_arguments
from pytest_lem.errors import ConfigError

ROOM = {"kv_cache_memory_bytes": 2**25}


@pytest.fixture(scope="module")
def head(llama, tmp_path_factory):
    """An EAGLE head of one layer with random weights, made on the spot."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    config = json.loads((llama / "config.json").read_text(encoding="utf-8"))
    hidden = config["hidden_size"]
    layer = {
        name.removeprefix("model."): value
        for name, value in load_file(llama / "model.safetensors").items()
        if ".layers.0." in name and "input_layernorm" not in name
    }
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("eagle")
    weights = {**layer, "fc.weight": torch.randn(hidden, 2 * hidden) * 0.05}
    save_file(weights, folder / "model.safetensors")
    made = {**config, "num_hidden_layers": 1}
    (folder / "config.json").write_text(json.dumps(made), encoding="utf-8")
    return str(folder)


def drafting(start, method, model, tokens=3):
    drafts = {"method": method, "model": model, "num_speculative_tokens": tokens}
    return start(speculative_config=drafts, max_num_seqs=4, **ROOM)


@pytest.mark.parametrize("drafter", ["draft_model", "another", "eagle"])
def test_the_tokens_stay_those_of_the_model(
    start, ask, rows, bare, llama, head, drafter
):
    """Whoever drafts: the model itself, which is always right, or others at random."""
    models = {"draft_model": str(llama), "eagle": head}
    method = "eagle" if drafter == "eagle" else "draft_model"
    name = models.get(drafter, "synthetic:llama-tiny@1")
    engine, loaded = drafting(start, method, name)
    told = loaded.effective["speculation"]
    assert told["method"] == method
    assert told["num_speculative_tokens"] == 3
    prompts = rows(5, 9)
    got = ask(engine, prompts, count=13)
    assert [one.output_ids for one in got["completions"]] == [
        bare(row, 13) for row in prompts
    ]
    counted = got["native"]["speculation"]
    calls, drafted = counted["verify_calls"], counted["drafted_tokens"]
    # Each call makes a token, and one more for each draft that was accepted.
    assert calls + counted["accepted_tokens"] >= 26
    assert sum(counted["accepted_by_place"]) == counted["accepted_tokens"] <= drafted
    assert drafted > 0
    if drafter == "draft_model":
        assert (calls, counted["accepted_tokens"]) == (8, drafted)
    assert got["work"] is None


def test_a_drafting_model_that_is_none_is_told_before_the_start(start):
    """In the words of any other model."""
    with pytest.raises(ConfigError, match="model 'synthetic:lama-tiny' is unknown"):
        drafting(start, "draft_model", "synthetic:lama-tiny")


def test_five_tokens_are_drafted_unless_told_otherwise():
    """vLLM itself would refuse to guess; a head says how many it can."""
    asked = {"method": "ngram", "prompt_lookup_max": 3}
    made = speculative_arguments(asked, weights="checkpoint")
    assert made == {**asked, "num_speculative_tokens": 5}
    medusa = speculative_arguments({"method": "medusa"}, weights="checkpoint")
    assert medusa == {"method": "medusa"}


def test_made_up_weights_of_a_drafter_are_no_matter_of_the_model_s():
    """Each is loaded as what it is."""
    drafts = {"method": "draft_model", "model": "synthetic:llama-tiny"}
    assert "draft_load_config" not in speculative_arguments(
        drafts, weights="checkpoint"
    )
    made = speculative_arguments(drafts, weights="random")
    assert made["draft_load_config"] == {"load_format": "auto"}
    drafts["model"] = "synthetic:llama-3.2-1b"
    made = speculative_arguments(drafts, weights="checkpoint")
    assert made["draft_load_config"] == {"load_format": "dummy"}
