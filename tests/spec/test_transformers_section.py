"""What the transformers section and the workload cannot be together."""

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.spec.experiment import plan_experiment
from pytest_lem.spec.provenance import Layer


def plan(section, **rest):
    """The experiment of a section and other values."""
    values = {"backend": "transformers", "transformers": section, **rest}
    return plan_experiment(
        "x", [Layer(origin="marker", values=values)], ["transformers"]
    )


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"device": "cpu", "device_map": "auto"}, "device exclude each other"),
        ({"offload_folder": "x"}, "offload_folder needs device_map"),
        ({"offload_buffers": True}, "offload_buffers needs device_map"),
        ({"kernel_config": {"a": "b"}}, "kernel_config needs use_kernels"),
        (
            {"allow_tf32": True, "float32_matmul_precision": "high"},
            "are one setting",
        ),
        ({"autocast_dtype": "bfloat16"}, "needs autocast_enabled=True"),
        (
            {"sdpa_kernel": "math", "attn_implementation": "eager"},
            "needs attn_implementation='sdpa'",
        ),
        (
            {"use_cache": False, "cache_implementation": "static"},
            "means nothing with use_cache=False",
        ),
        ({"cache_config": {"nbits": 2}}, "cache_implementation='quantized'"),
        ({"max_cache_len": 9}, "max_cache_len needs cache_implementation='static'"),
        ({"compile_config": {"mode": "default"}}, "compile_config needs"),
        ({"output_scores": True}, "needs return_dict_in_generate=True"),
        (
            {"output_attentions": True, "return_dict_in_generate": True},
            "needs attn_implementation='eager'",
        ),
        ({"early_stopping": True}, "means nothing without decoder.num_beams"),
        ({"typical_p": 0.5}, "means nothing without decoder.do_sample=True"),
        ({"stop_strings": "x"}, "means nothing without min_output_tokens=0"),
        ({"num_return_sequences": 2}, "needs decoder.do_sample=True or as many"),
        ({"distributed_config": {"tp_size": 2}, "device_map": "auto"}, "exclude"),
        ({"distributed_config": {"tp_plan": "auto"}}, "tp_plan needs tp_size"),
        ({"distributed_config": {"tp_size": 2}, "num_processes": 2}, "exclude"),
        ({"distributed_config": {"tp_size": 2}, "torch_compile": True}, "exclude"),
        ({"num_processes": 2, "device": "cuda:1"}, "each process has one GPU"),
    ],
)
def test_what_the_library_would_ignore_is_refused_at_collection(section, told):
    """In one line each, before an engine starts."""
    with pytest.raises(ConfigError) as caught:
        plan(section)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "rest"),
    [
        ({"early_stopping": True}, {"decoder": {"num_beams": 2}}),
        ({"typical_p": 0.5}, {"decoder": {"do_sample": True}}),
        ({"stop_strings": "x"}, {"min_output_tokens": 0}),
        ({"num_return_sequences": 2}, {"decoder": {"num_beams": 2}}),
        ({"cache_implementation": "static", "max_cache_len": 900}, {}),
    ],
)
def test_what_belongs_together_is_taken(section, rest):
    """The same parameters beside what they need."""
    assert plan(section, **rest).spec.engine == section


def test_a_temperature_of_0_draws_nothing_to_choose_from():
    """The engine then takes the likeliest, whatever do_sample says."""
    decoder = {"do_sample": True, "temperature": 0}
    with pytest.raises(ConfigError, match=r"means nothing without decoder\.do_sample"):
        plan({"typical_p": 0.5}, decoder=decoder)


def test_beams_cannot_be_streamed_on_any_engine():
    """Said before anything is measured."""
    for backend in ("transformers", "vllm", "fake"):
        with pytest.raises(ConfigError, match=r"num_beams=2 needs streaming off"):
            plan({}, backend=backend, streaming=True, decoder={"num_beams": 2})


def test_several_texts_cannot_be_streamed():
    """A step has a token of each."""
    with pytest.raises(ConfigError, match="needs streaming off"):
        plan({"num_return_sequences": 2}, streaming=True, decoder={"do_sample": True})


@pytest.mark.parametrize(
    "section",
    [
        {"batching": {"strategy": "sorted_static"}},
        {"num_processes": 2},
        {"distributed_config": {"tp_size": 2}},
    ],
)
def test_what_forms_batches_otherwise_takes_no_requests_one_by_one(section):
    """One queue, first come, first served."""
    told = f"concurrency and transformers.{next(iter(section))}.* exclude each other"
    with pytest.raises(ConfigError, match=told):
        plan(section, concurrency=2, requests=4)
    assert plan({}, concurrency=2, requests=4).workload.batch_size == 2
