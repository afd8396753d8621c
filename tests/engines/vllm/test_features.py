"""What vLLM can be asked beside sampling: narrow weights, and prompts in chunks."""

import json
import shutil

import pytest

pytest.importorskip("vllm")

from pytest_lem.errors import EngineLoadError, HardwareError


@pytest.fixture(scope="module")
def narrow(llama, tmp_path_factory):
    """Make a checkpoint of the tiny model whose matrices have 8 or 4 bits."""
    from safetensors.torch import load_file, save_file

    def made(how, config):
        folder = tmp_path_factory.mktemp("narrow")
        for file in llama.iterdir():
            shutil.copy(file, folder)
        weights = {}
        for name, value in load_file(llama / "model.safetensors").items():
            matrix = name.removesuffix(".weight")
            weights |= how(matrix, value) if "proj" in name else {name: value}
        save_file(weights, folder / "model.safetensors")
        told = json.loads((llama / "config.json").read_text(encoding="utf-8"))
        told["quantization_config"] = config
        (folder / "config.json").write_text(json.dumps(told), encoding="utf-8")
        return str(folder)

    return made


def eight_bits(name, value):
    """As `compressed-tensors` has them: a scale for each row."""
    import torch

    scale = value.abs().amax(1, keepdim=True) / 127
    whole = (value / scale).round().clamp(-128, 127).to(torch.int8)
    return {f"{name}.weight": whole, f"{name}.weight_scale": scale}


def four_bits(name, value, group=128):
    """As GPTQ has them: eight to a word, a scale for each group of a column."""
    import torch

    columns = value.t().contiguous()
    height, width = columns.shape
    scale = columns.view(height // group, group, width).abs().amax(1) / 7
    spread = scale.repeat_interleave(group, 0)
    whole = (columns / spread).round().clamp(-8, 7).to(torch.int32) + 8
    words = torch.zeros(height // 8, width, dtype=torch.int32)
    for place in range(8):
        words |= whole[place::8] << (4 * place)
    zeros = torch.full((height // group, width // 8), 0x77777777, dtype=torch.int32)
    return {
        f"{name}.qweight": words,
        f"{name}.scales": scale.half(),
        f"{name}.qzeros": zeros,
        f"{name}.g_idx": torch.arange(height, dtype=torch.int32) // group,
    }


INT8 = {"num_bits": 8, "type": "int", "symmetric": True}
COMPRESSED = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "quantization_status": "compressed",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {**INT8, "strategy": "channel", "dynamic": False},
            "input_activations": {**INT8, "strategy": "token", "dynamic": True},
        }
    },
}
GPTQ = {
    "quant_method": "gptq",
    "bits": 4,
    "group_size": 128,
    "desc_act": False,
    "sym": True,
}


def test_a_checkpoint_of_four_bits_is_read_back_as_such(start, ask, rows, narrow):
    """Its parameters count as what they stand for; half a byte is held for each."""
    section = {"model": narrow(four_bits, GPTQ), "precision": "bfloat16"}
    engine, loaded = start(**section)
    assert loaded.effective["precision"]["quantisation"].endswith("gptq")
    assert "int32" in loaded.effective["weights_dtypes"]
    assert loaded.model["parameters"] == 886016
    assert 0.4 < loaded.memory["model_mb"] < 1.0
    assert len(ask(engine, rows(5), count=4)["completions"][0].output_ids) == 4


def test_a_size_that_a_kernel_keeps_to_itself_is_null(start, ask, rows, narrow):
    """oneDNN packs matrices of 8 bits away: nobody knows how many bytes they are."""
    section = {"model": narrow(eight_bits, COMPRESSED), "precision": "bfloat16"}
    engine, loaded = start(**section)
    assert loaded.model["parameters"] == 886016
    assert loaded.memory["model_mb"] is None
    assert loaded.model["decode_weights_mb"] is None
    assert loaded.effective["precision"]["weights"] is None
    assert len(ask(engine, rows(5), count=4)["completions"][0].output_ids) == 4


def test_weights_are_narrowed_while_they_load(start):
    """Which the worker's own tensors show."""
    loaded = start(quantization="fp8_per_channel", precision="bfloat16")[1]
    assert "not_as_requested" not in loaded.flags
    assert loaded.effective["precision"]["weights"]["float8_e4m3fn"] > 0.7


def test_what_changes_nothing_is_told(start):
    """A method for experts alone leaves this model as it was; there is no GPU."""
    section = {
        "quantization": "int8_per_channel_weight_only",
        "gpu_memory_utilization": 0.95,
        "precision": "bfloat16",
    }
    loaded = start(**section)[1]
    assert loaded.flags == ["not_as_requested"]
    first, second = loaded.effective["not_as_requested"]
    assert first.startswith(
        "vllm.quantization='int8_per_channel_weight_only' was asked"
    )
    assert second.startswith("vllm.gpu_memory_utilization=0.95 was asked")
    assert loaded.effective["kv_cache_bytes"] == 2**24


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"pipeline_parallel_size": 2}, "say vllm.tensor_parallel_size"),
        ({"quantization": "fp8"}, "say fp8_per_channel"),
    ],
)
def test_what_fails_on_cpus_is_refused_before_the_start(start, section, told):
    """With what to say instead."""
    with pytest.raises(HardwareError, match=told):
        start(**section)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"enable_sleep_mode": True}, "Sleep mode is not supported"),
        ({"quantization": "awq"}, "Cannot find the config file for awq"),
        ({"speculative_config": {"method": "suffix"}}, "Arctic Inference is required"),
    ],
)
def test_what_is_missing_is_told_in_vllm_s_own_words(start, section, told):
    """A platform, a checkpoint's config, a package: one line."""
    with pytest.raises(EngineLoadError, match=told) as caught:
        start(**section)
    assert "\n" not in caught.value.message


def test_a_prompt_in_chunks_is_answered_alike(start, ask, rows, bare):
    """Two of 40 and 70 tokens, 32 at a step."""
    section = {"max_num_batched_tokens": 32, "max_num_seqs": 4, "max_model_len": 256}
    engine, loaded = start(enable_chunked_prefill=True, **section)
    assert loaded.effective["max_num_batched_tokens"] == 32
    prompts = rows(40, 70)
    got = ask(engine, prompts, count=6)
    assert [one.output_ids for one in got["completions"]] == [
        bare(row, 6) for row in prompts
    ]
    assert got["work"] is None
