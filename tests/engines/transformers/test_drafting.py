"""Speculation on the real library: same tokens, fewer steps, and how many were kept."""

import pytest

from pytest_lem.engines.transformers.drafting import acceptance
from pytest_lem.errors import ConfigError


@pytest.fixture(scope="module")
def twin(load, llama):
    """A model that is helped by itself: each of its drafts is right."""
    return load(
        assistant_model=str(llama),
        num_assistant_tokens=3,
        num_assistant_tokens_schedule="constant",
        assistant_confidence_threshold=0.0,
    )


@pytest.mark.proves(
    "transformers.assistant_model",
    "transformers.num_assistant_tokens",
    "transformers.assistant_confidence_threshold",
)
def test_a_twin_s_drafts_are_all_accepted(twin, ask, rows, bare):
    """12 tokens in three calls of 1 + 3; the tokens are those of the model alone."""
    engine, _ = twin
    prompts = rows(5, 9)
    got = ask(engine, prompts, batch_size=1)
    assert [one.output_ids for one in got["completions"]] == [
        bare(row, 12) for row in prompts
    ]
    assert got["native"]["speculation"] == {
        "verify_calls": 6,
        "drafted_tokens": 18,
        "accepted_tokens": 18,
        "acceptance_rate": 1.0,
        "tokens_per_call": 4.0,
    }
    assert got["work"] is None
    got = ask(engine, prompts, batch_size=1, output_limits=(6, 1))
    assert [one.output_ids for one in got["completions"]] == [
        bare(row, 12)[:limit] for row, limit in zip(prompts, (6, 1), strict=True)
    ]
    told = got["native"]["speculation"]
    assert told["verify_calls"] + told["accepted_tokens"] == 7


def test_tokens_that_were_accepted_together_share_a_stamp(twin, ask, rows):
    """There is one for each token still; times between tokens are of chunks."""
    got = ask(twin[0], rows(5), batch_size=1, stamps=True)
    (one,) = got["completions"]
    assert len(one.token_ns) == 12
    assert len(set(one.token_ns)) == 3
    assert got["native"]["flags"] == ["itl_per_chunk"]


@pytest.mark.proves("transformers.num_assistant_tokens_schedule")
def test_how_tokens_are_drafted_is_read_back(twin):
    """From the assistant's own configuration."""
    told = twin[1].effective["speculation"]
    assert told == {
        "method": "assistant_model",
        "assistant_parameters": 886016,
        "num_assistant_tokens": 3,
        "num_assistant_tokens_schedule": "constant",
        "assistant_confidence_threshold": 0.0,
    }


def test_another_model_s_drafts_are_mostly_refused(load, ask, rows, bare):
    """The tokens are right all the same, and passes begin alike."""
    section = {"num_assistant_tokens": 4, "assistant_confidence_threshold": 0.0}
    engine, _ = load(assistant_model="synthetic:llama-tiny@7", **section)
    (prompt,) = rows(6)
    told = []
    for _ in range(2):
        got = ask(engine, [prompt], batch_size=1)
        assert got["completions"][0].output_ids == bare(prompt, 12)
        told.append(got["native"]["speculation"])
    assert told[0] == told[1]
    assert 0 <= told[0]["acceptance_rate"] < 0.5
    assert told[0]["drafted_tokens"] > 12


@pytest.mark.proves(
    "transformers.prompt_lookup_num_tokens", "transformers.max_matching_ngram_size"
)
def test_a_prompt_that_repeats_itself_drafts_its_continuation(load, ask, rows, bare):
    """By n-grams, which a longest run of one token must find too."""
    engine, loaded = load(prompt_lookup_num_tokens=3, max_matching_ngram_size=1)
    (start,) = rows(4)
    prompt = list(start) + bare(start, 12) + list(start)
    got = ask(engine, [prompt], batch_size=1)
    told = got["native"]["speculation"]
    assert got["completions"][0].output_ids == bare(prompt, 12)
    assert told["drafted_tokens"] > 0
    assert told["verify_calls"] == 12 - told["accepted_tokens"]
    generation = got["native"]["generation"]
    assert generation["prompt_lookup_num_tokens"] == 3
    assert generation["max_matching_ngram_size"] == 1
    assert loaded.effective["speculation"]["method"] == "prompt_lookup"


@pytest.mark.proves("transformers.assistant_early_exit")
def test_a_model_drafts_by_its_own_first_layer(load, ask, rows, bare):
    """Its calls as a drafter are not counted as checks; passes begin alike."""
    engine, loaded = load(assistant_early_exit=1)
    assert loaded.effective["speculation"]["method"] == "early_exit"
    (prompt,) = rows(6)
    layers = engine._model.model.layers
    calls = {0: 0, 1: 0}

    def count(place):
        def note(*_):
            calls[place] += 1

        return note

    hooks = [layers[k].register_forward_hook(count(k)) for k in calls]
    told = []
    for _ in range(2):
        got = ask(engine, [prompt], batch_size=1)
        assert got["completions"][0].output_ids == bare(prompt, 12)
        told.append(got["native"]["speculation"])
    for hook in hooks:
        hook.remove()
    assert told[0] == told[1]
    assert calls[1] == sum(one["verify_calls"] for one in told)
    assert calls[0] > calls[1]
    assert told[0]["verify_calls"] + told[0]["accepted_tokens"] == 12


def test_without_drafts_there_is_no_rate():
    """Null, not zero."""
    told = acceptance([[5, 1, 1]], [5], [3])
    assert told["drafted_tokens"] == told["accepted_tokens"] == 0
    assert told["acceptance_rate"] is None


def test_an_assistant_with_other_tokens_is_refused(load):
    """A synthetic model has the tokenizer of its own vocabulary."""
    with pytest.raises(ConfigError, match="another tokenizer"):
        load(assistant_model="synthetic:llama-2-7b")
