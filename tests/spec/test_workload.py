"""What one window asks of the engine, and the rules between its fields."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pytest_lem.spec.engine import DEFAULT_MODEL, EngineSpec
from pytest_lem.spec.workload import Workload


def test_the_output_length_is_forced_unless_said_otherwise():
    """Engines do equal work: the least is the most, until a test sets it lower."""
    assert Workload(output_tokens=64).forced
    assert Workload(output_tokens=64, min_output_tokens=64).forced
    assert not Workload(output_tokens=64, min_output_tokens=10).forced
    assert not Workload(output_tokens=64, min_output_tokens=0).forced
    assert Workload(output_lengths="uniform:low=5,high=9").forced
    assert not Workload(output_lengths="fixed:9", min_output_tokens=0).forced


def test_a_window_has_one_batch_unless_requests_says_how_many():
    """`requests` counts prompts, not batches."""
    assert Workload().request_count == 1
    assert Workload(batch_size=8).request_count == 8
    assert Workload(batch_size=8, requests=20).request_count == 20


def test_synthetic_prompts_have_128_tokens_unless_said_otherwise():
    """The default length is stated in one place."""
    assert Workload().synthetic_input_tokens == 128
    assert Workload(input_tokens=3).synthetic_input_tokens == 3


def test_a_prompt_file_is_taken_relative_to_a_root(tmp_path):
    """A text is a path; a list and nothing are none."""
    assert Workload(prompts="a.txt").prompt_file(tmp_path) == tmp_path / "a.txt"
    assert Workload(prompts="/b/a.txt").prompt_file(tmp_path) == Path("/b/a.txt")
    assert Workload(prompts="hf:a/b").prompt_file(tmp_path) is None
    assert Workload(prompts=["hello"]).prompt_file(tmp_path) is None
    assert Workload().prompt_file(tmp_path) is None


@pytest.mark.parametrize(
    "values",
    [
        {"output_tokens": 0},
        {"output_tokens": "7"},
        {"output_tokens": 7.0},
        {"output_tokens": True},
        {"input_tokens": 0},
        {"batch_size": -1},
        {"requests": 0},
        {"min_output_tokens": -1},
        {"streaming_warmup_requests": -1},
        {"seed": -1},
        {"seed": 1.5},
        {"prompts": 5},
        {"streaming": "perhaps"},
        {"ouput_tokens": 5},
    ],
)
def test_a_field_out_of_its_range_or_type_is_refused(values):
    """Whole numbers are whole numbers; a name that is none is an error."""
    with pytest.raises(ValidationError) as caught:
        Workload(**values)
    assert caught.value.errors()[0]["loc"][0] in values


@pytest.mark.parametrize("prompts", [[], [""], [" ", "\n"]])
def test_a_list_without_any_text_is_refused(prompts):
    """There would be nothing to ask."""
    with pytest.raises(ValidationError, match="prompts is a list without any text"):
        Workload(prompts=prompts)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"prompt_options": {"count": 3}}, "prompt_options.count needs prompts"),
        (
            {"prompts": ["a"], "prompt_options": {"truncation": "start"}},
            "prompt_options.truncation needs input_tokens",
        ),
        (
            {
                "prompts": ["a"],
                "input_tokens": 5,
                "prompt_options": {"chat_template": True},
            },
            "input_tokens would cut prompt_options.chat_template apart",
        ),
        (
            {"prompts": ["a"], "shared_prefix_tokens": 2},
            "shared_prefix_tokens is of synthetic prompts",
        ),
        (
            {"input_tokens": 5, "shared_prefix_tokens": 5},
            "shared_prefix_tokens=5 leaves nothing .* to a prompt of 5 tokens",
        ),
        (
            {"input_tokens": 5, "input_lengths": "fixed:5"},
            "input_lengths and input_tokens exclude each other",
        ),
        (
            {"output_tokens": 5, "output_lengths": "fixed:5"},
            "output_lengths and output_tokens exclude each other",
        ),
        ({"output_lengths": "paired"}, "paired needs input_lengths of a file: or"),
        ({"output_tokens": None}, "output_tokens=None needs output_lengths"),
        ({"input_lengths": "paired"}, "'paired' is none of fixed:128"),
        (
            {"output_lengths": "uniform:low=4,high=9", "min_output_tokens": 5},
            "min_output_tokens=5 is above output_lengths from 4",
        ),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(values, line):
    """It was meant to do something."""
    with pytest.raises(ValidationError, match=line):
        Workload(**values)


def test_the_least_may_not_be_above_the_most():
    """Both numbers are told."""
    with pytest.raises(
        ValidationError, match="min_output_tokens=9 is above output_tokens=8"
    ):
        Workload(output_tokens=8, min_output_tokens=9)


def test_a_workload_cannot_be_changed():
    """It is part of an identity."""
    with pytest.raises(ValidationError, match="frozen"):
        Workload().batch_size = 2


@pytest.mark.parametrize(
    ("short", "precision"),
    [
        ("fp16", "float16"),
        ("bf16", "bfloat16"),
        ("fp32", "float32"),
        ("float16", "float16"),
        (None, None),
    ],
)
def test_a_precision_has_one_spelling(short, precision):
    """Short forms are spelt out, so that equal specs are equal."""
    assert EngineSpec(backend="fake", precision=short).precision == precision
    assert EngineSpec(backend="fake", precision=short) == EngineSpec(
        backend="fake", precision=precision
    )


@pytest.mark.parametrize("precision", ["fp8", "half", "FP16", 16, ""])
def test_a_precision_that_is_none_is_refused(precision):
    """The three valid ones are named."""
    with pytest.raises(ValidationError, match=r"'float32', 'float16' or 'bfloat16'"):
        EngineSpec(backend="fake", precision=precision)


def test_remote_code_is_off_and_the_model_is_made_on_the_spot_by_default():
    """A bare spec runs nobody's code and needs no network."""
    spec = EngineSpec(backend="fake")
    assert spec.trust_remote_code is False
    assert spec.model == DEFAULT_MODEL == "synthetic:llama-tiny"


def test_an_empty_model_is_refused():
    """A name forgotten is not the default."""
    with pytest.raises(ValidationError, match="at least 1 character"):
        EngineSpec(backend="fake", model="")


@pytest.mark.parametrize(
    ("decoder", "dormant"),
    [
        ({"temperature": 0.7, "top_p": 0.9}, ["temperature", "top_p"]),
        ({"do_sample": False, "top_k": 5, "min_p": 0.1}, ["top_k", "min_p"]),
        ({"do_sample": True, "temperature": 0, "top_k": 5}, ["top_k", "do_sample"]),
        ({"preset": "deterministic"}, []),
        ({"do_sample": True, "temperature": 0.7, "top_k": 5}, []),
        ({"repetition_penalty": 1.1, "no_repeat_ngram_size": 3, "num_beams": 2}, []),
    ],
)
def test_what_greedy_decoding_does_not_look_at_is_dormant(decoder, dormant):
    """And noted, in one note; what it does look at is not."""
    found = Workload(decoder=decoder).decoder
    assert found.dormant() == [f"decoder.{name}" for name in dormant]
    assert [one.path for one in found.doubts()] == (
        [", ".join(found.dormant())] if dormant else []
    )


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "mode=poisson needs rate_rps"),
        ({"mode": "gamma", "rate_rps": 1}, "=gamma needs burstiness"),
        ({"mode": "trace"}, "mode=trace needs file"),
        ({"rate_rps": 1, "burstiness": 2}, "burstiness means nothing"),
        ({"rate_rps": 1, "file": "a"}, "file means nothing with mode=poisson"),
        ({"rate_rps": 1, "ramp": "linear"}, "needs end_rate_rps"),
        ({"mode": "trace", "file": "a", "seed": 1}, "seed means nothing"),
        ({"rate_rps": float("inf")}, "finite"),
        ({"rate_rps": 0}, "greater than 0"),
    ],
)
def test_arrivals_have_what_their_law_needs_and_nothing_else(values, told):
    """What would be ignored is refused."""
    with pytest.raises(ValidationError, match=told):
        Workload(requests=2, arrivals=values)


def test_a_schedule_needs_two_requests():
    """There is no gap before the first."""
    with pytest.raises(ValidationError, match="arrivals needs requests above 1"):
        Workload(arrivals={"rate_rps": 1})
    assert Workload(batch_size=2, arrivals={"rate_rps": 1}).arrivals.mode == "poisson"


def test_a_closed_loop_runs_as_many_as_are_in_flight_unless_said_otherwise():
    """And has a request that is sent when another one ends."""
    assert Workload(concurrency=4, requests=9).batch_size == 4
    assert Workload(concurrency=4, requests=9, batch_size=2).batch_size == 2
    with pytest.raises(ValidationError, match="concurrency=4 needs requests above it"):
        Workload(concurrency=4)
    with pytest.raises(ValidationError, match="exclude each other: say one"):
        Workload(concurrency=4, requests=9, arrivals={"rate_rps": 1})


def test_an_arrival_file_is_taken_relative_to_a_root(tmp_path):
    """As that of prompts."""
    recorded = Workload(requests=2, arrivals={"mode": "trace", "file": "a.txt"})
    assert recorded.arrival_file(tmp_path) == tmp_path / "a.txt"
    assert Workload().arrival_file(tmp_path) is None
    assert Workload(requests=2, arrivals={"rate_rps": 1}).arrival_file(tmp_path) is None


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"slo": {}}, "it has no limit: set one of ttft_ms"),
        ({"slo": {"ttft_ms": 9}}, "slo.ttft_ms needs streaming"),
        ({"slo": {"itl_p95_ms": 9, "e2e_ms": 9}}, "slo.itl_p95_ms needs streaming"),
        ({"slo": {"e2e_ms": 0}}, "greater than 0"),
    ],
)
def test_limits_of_tokens_need_their_times(values, told):
    """What could never be judged is refused."""
    with pytest.raises(ValidationError, match=told):
        Workload(**values)
    assert Workload(slo={"e2e_ms": 9}).slo.limits == {"e2e_ms": 9}
