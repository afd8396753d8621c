"""Starts of the real vLLM: what it then has, against what was asked for."""

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("vllm")

from pytest_lem.engines.contract import unlike
from pytest_lem.errors import ConfigError, EngineLoadError, HardwareError


def tokens(got):
    return [one.output_ids for one in got["completions"]]


@pytest.fixture
def empty(llama, tmp_path):
    """The model's configuration and tokenizer, without weights."""
    for path in Path(llama).iterdir():
        if path.suffix != ".safetensors":
            shutil.copy(path, tmp_path)
    return tmp_path


@pytest.mark.proves("model", "batch_size", "vllm.max_num_seqs", "vllm.in_process")
@pytest.mark.proves("vllm.enforce_eager", "vllm.kv_cache_memory_bytes")
def test_a_load_tells_what_there_is(start):
    """Facts of the model for the closed form, sizes, the workers' own words."""
    _, report = start(max_num_seqs=3, max_model_len=512)
    model = report.model
    assert model["architecture"] == "LlamaForCausalLM"
    assert model["closed_form"] == "checked"
    assert (model["parameters"], model["context_length"]) == (886016, 512)
    assert model["reserved_ids"] == [256, 257, 258]
    assert all(model[k] for k in ("config_sha256", "tokenizer_sha256"))
    assert report.memory["model_mb"] == 886016 * 4 / 1e6
    assert report.memory["kv_cache_pool_mb"] == pytest.approx(2**24 / 1e6)
    assert report.devices == ["cpu"]
    assert report.flags == []
    told = report.effective
    assert told["max_num_seqs"] == 3
    assert (told["attention"], told["in_process"]) == (["CPU_ATTN"], True)
    assert told["precision"]["compute"] == "float32"
    assert told["environment"]["VLLM_WORKER_MULTIPROC_METHOD"] == "spawn"
    assert json.loads(json.dumps(told)) == told


@pytest.mark.proves("precision", "vllm.kv_cache_dtype", "vllm.block_size")
def test_types_and_blocks_are_read_back_from_the_worker(start, ask, rows):
    """Of the weights and of the cache that was allocated, and they work."""
    engine, report = start(precision="bfloat16", kv_cache_dtype="fp8", block_size=64)
    told = report.effective
    assert told["weights_dtypes"] == ["bfloat16"]
    assert (told["kv_cache_dtype"], told["block_size"]) == ("uint8", 64)
    assert report.model["kv_cache_element_bytes"] == 1
    assert "not_as_requested" not in told
    assert len(tokens(ask(engine, rows(5), count=4))[0]) == 4


@pytest.mark.proves("vllm.attention_config.backend", "vllm.async_scheduling")
def test_what_vllm_replaces_without_a_word_is_told(start):
    """Its configuration believes in the kernel that its worker does not have."""
    asked = {"attention_config": {"backend": "FLASH_ATTN"}, "async_scheduling": True}
    _, report = start(**asked)
    lines = report.effective["not_as_requested"]
    assert [line.partition("=")[0] for line in lines] == [
        "vllm.async_scheduling",
        "vllm.attention_config.backend",
    ]
    assert report.flags == ["not_as_requested"]
    with pytest.raises(EngineLoadError, match=r"'CPU_ATTN' .* because of --lem-strict"):
        unlike(report.effective, strict=True)


@pytest.mark.proves("vllm.enable_prefix_caching")
def test_a_cache_that_was_asked_for_is_kept(start, ask, rows):
    """The second pass is served from it, which is told and no fault."""
    engine, report = start(enable_prefix_caching=True)
    prompts = rows(96)
    assert ask(engine, prompts, count=2)["native"]["cached_prompt_tokens"] == 0
    told = ask(engine, prompts, count=2)["native"]
    assert told["cached_prompt_tokens"] == 64
    assert told["flags"] == []
    assert report.effective["enable_prefix_caching"] is True
    assert report.effective["prefix_caching"] == "on"


@pytest.mark.proves("adapter", "vllm.enable_lora", "vllm.max_lora_rank")
def test_an_adapter_changes_the_tokens(start, ask, rows, llama, tmp_path, bare):
    """Room for its rank is made; what is written there is PEFT's own."""
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(llama)
    config = peft.LoraConfig(r=12, target_modules=["q_proj"], init_lora_weights=False)
    peft.get_peft_model(model, config).save_pretrained(tmp_path)
    engine, report = start(adapter=str(tmp_path))
    assert report.effective["lora"]["max_lora_rank"] == 16
    prompts = rows(9)
    assert tokens(ask(engine, prompts)) != [bare(row, 12) for row in prompts]


@pytest.mark.proves("vllm.load_format")
def test_a_shape_without_weights_gets_made_up_ones(start, ask, rows, empty):
    """vLLM's own, so the seed is not told as if it had been used."""
    engine, report = start(model=str(empty), weights="random", weights_seed=7)
    assert report.effective["weights_seed"] is None
    (line,) = report.effective["not_as_requested"]
    assert line.startswith("random weights of seed 7 were asked for")
    assert report.model["weights_sha256"] is None
    assert len(tokens(ask(engine, rows(5), count=4))[0]) == 4
    with pytest.raises(ConfigError, match="needs a checkpoint: these weights are made"):
        start(model=str(empty), weights="random", load_format="auto")


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"max_model_len": 9999}, "vLLM cannot load .*max_model_len"),
        ({"model": "/nowhere"}, "vLLM cannot load '/nowhere': "),
        ({"kv_cache_dtype": "fp9"}, "vLLM cannot load .*fp8"),
    ],
)
def test_a_start_that_fails_says_why_in_one_line(start, section, told):
    """Of a validation what is wrong, and not how many things are."""
    with pytest.raises(EngineLoadError, match=told) as error:
        start(**section)
    assert "\n" not in error.value.message


def test_gpus_that_this_vllm_cannot_use_are_told(spec_of):
    """Nothing falls on the CPU unasked."""
    from pytest_lem.engines.vllm.engine import VllmEngine

    with pytest.raises(
        EngineLoadError, match=r"2 GPUs are needed and this vLLM .* CPUs"
    ):
        VllmEngine().load({**spec_of(), "gpus_expected": 2})
    with pytest.raises(ConfigError, match="data_parallel_size is not driven yet"):
        VllmEngine().load(spec_of(data_parallel_size=2))


def test_ray_is_refused_where_vllm_has_no_resource_of_it(spec_of):
    """Its build for CPUs would fail after the load has begun."""
    pytest.importorskip("ray")
    from pytest_lem.engines.vllm.engine import VllmEngine

    with pytest.raises(HardwareError, match=r"'ray' needs GPUs.* names no resource"):
        VllmEngine().load(spec_of(distributed_executor_backend="ray"))


@pytest.mark.slow
@pytest.mark.proves("vllm.in_process")
def test_a_core_of_its_own_gives_the_same_tokens(start, ask, rows, bare):
    """Its worker, in a third process, tells as much."""
    engine, report = start(in_process=False, max_num_seqs=4)
    assert report.effective["in_process"] is False
    assert report.model["closed_form"] == "checked"
    prompts = rows(5, 40)
    got = ask(engine, prompts)
    assert tokens(got) == [bare(row, 12) for row in prompts]
