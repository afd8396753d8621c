"""What the vLLM section and the workload cannot be together, and what one tells the
other."""

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.spec.experiment import plan_experiment
from pytest_lem.spec.provenance import Layer


def plan(section, **rest):
    """The experiment of a section and other values."""
    values = {"backend": "vllm", "vllm": section, **rest}
    return plan_experiment("x", [Layer(origin="marker", values=values)], ["vllm"])


NGRAM = {"method": "ngram", "num_speculative_tokens": 2}
LONE = {"speculative_config": {"method": "eagle"}}
DRAWS = {"do_sample": True}


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"quantization": "bitsandbytes"}, "say fp8, which quantises while loading"),
        ({"max_num_seqs": 9, "max_num_batched_tokens": 8}, "is below max_num_seqs=9"),
        ({"max_num_seqs": 2, "max_num_active_seqs": 3}, "above max_num_seqs"),
        (
            {
                "compilation_config": {"mode": 0},
                "extra": {"engine": {"compilation_config": {"mode": 3}}},
            },
            "'compilation_config', which is a section",
        ),
        ({"kv_cache_metrics_sample": 0.5}, "needs kv_cache_metrics=True"),
        ({"numa_bind_cpus": ["0"]}, "need numa_bind=True"),
        ({"enable_lora": True, "max_loras": 2, "max_cpu_loras": 1}, "below max_loras"),
        ({"request_priorities": [1, 0]}, "needs scheduling_policy=priority"),
        ({"request_priorities": []}, "at least 1 item"),
        ({"all2all_backend": "x"}, "needs enable_expert_parallel=True"),
        (
            {"max_lora_rank": 8},
            "max_lora_rank needs vllm.enable_lora=True, adapter or adapters",
        ),
        (LONE, "method=eagle needs model"),
        ({"speculative_config": {"num_speculative_tokens": 1}}, "method or model"),
        (
            {
                "speculative_config": {
                    **NGRAM,
                    "prompt_lookup_min": 3,
                    "prompt_lookup_max": 2,
                }
            },
            "prompt_lookup_min=3 is above prompt_lookup_max=2",
        ),
        (
            {"speculative_config": {"method": "suffix", "prompt_lookup_max": 2}},
            "need method=ngram",
        ),
    ],
)
def test_parameters_that_cannot_be_together_are_refused(section, told):
    """At collection, in one line with the way out."""
    with pytest.raises(ConfigError, match=told):
        plan(section)


@pytest.mark.parametrize(
    ("section", "rest", "told"),
    [
        ({}, {"decoder": {"no_repeat_ngram_size": 2}}, "set decoder.repetition_pen"),
        ({"n": 2}, {}, "needs decoder.do_sample=True"),
        ({"stop": "x"}, {}, "means nothing without min_output_tokens=0"),
        (
            {"stop": "x", "detokenize": False},
            {"min_output_tokens": 0},
            "needs vllm.detokenize",
        ),
        ({"output_kind": "DELTA"}, {}, "a batch gets FINAL_ONLY"),
        ({"output_kind": "FINAL_ONLY"}, {"streaming": True}, "needs streaming off"),
        (
            {"n": 2},
            {"streaming": True, "decoder": DRAWS},
            "vllm.n needs streaming off",
        ),
        ({"beam_length_penalty": 0.5}, {}, "needs decoder.num_beams above 1"),
        ({"logprobs": 1}, {"decoder": {"num_beams": 2}}, "vllm.logprobs exclude"),
        ({}, {"decoder": {"num_beams": 2, **DRAWS}}, "do_sample exclude each other"),
        (
            {},
            {"decoder": {"num_beams": 2}, "min_output_tokens": 3},
            "min_output_tokens=3 can be 0 or output_tokens",
        ),
        ({"enable_lora": False}, {"adapter": "x"}, "exclude each other"),
        (
            {"request_priorities": [1, 0], "scheduling_policy": "priority"},
            {"decoder": {"num_beams": 2}},
            "vllm.request_priorities exclude",
        ),
        (
            {"n": 2},
            {"requests": 2, "arrivals": {"rate_rps": 1}, "decoder": DRAWS},
            "arrivals and vllm.n above 1 exclude",
        ),
        (
            {},
            {"requests": 2, "arrivals": {"rate_rps": 1}, "decoder": {"num_beams": 2}},
            "arrivals and decoder.num_beams exclude",
        ),
    ],
)
def test_a_workload_that_a_section_cannot_do_is_refused(section, rest, told):
    """Before anything is started, and not in the middle of a run."""
    with pytest.raises(ConfigError, match=told):
        plan(section, **rest)


@pytest.mark.parametrize(
    ("section", "rest", "seqs", "origin"),
    [
        ({}, {"batch_size": 8}, 8, "batch_size"),
        ({"n": 3}, {"batch_size": 2, "decoder": DRAWS}, 6, "batch_size"),
        ({}, {"decoder": {"num_beams": 4}}, 4, "batch_size"),
        ({"max_num_seqs": 5}, {"batch_size": 8}, 5, "marker"),
    ],
)
def test_the_batch_size_is_how_many_requests_run_at_once(section, rest, seqs, origin):
    """A hint, and the record says where the number is from."""
    experiment = plan(section, **rest)
    assert experiment.spec.engine["max_num_seqs"] == seqs
    assert experiment.provenance["vllm.max_num_seqs"] == origin
