"""Every parameter of loading and of torch reaches the real library, on the CPU."""

import json
import shutil
import sys

import pytest

from pytest_lem.errors import ConfigError, EngineLoadError, HardwareError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors.torch import load_file  # noqa: E402

from pytest_lem.engines.transformers.arguments import unfit  # noqa: E402
from pytest_lem.engines.transformers.engine import TransformersEngine  # noqa: E402


def tokens(got):
    return [each.output_ids for each in got["completions"]]


@pytest.fixture
def load_of(load, llama):
    """Load with changes of the spec itself beside those of the section."""

    def loaded(*, model=llama, weights="checkpoint", strict=True, **section):
        engine = TransformersEngine()
        spec = {
            "model": str(model),
            "weights": weights,
            "weights_seed": 0,
            "revision": None,
            "trust_remote_code": False,
            "precision": None,
            "adapter": None,
            "engine": section,
            "strict": strict,
            "gpus_expected": 0,
        }
        return engine, engine.load(spec)

    return loaded


# Where the model lies


@pytest.mark.proves("transformers.device_map")
@pytest.mark.parametrize("asked", ["cpu", "auto", {"": "cpu"}])
def test_a_device_map_that_needs_one_device_uses_one(load_of, ask, rows, asked):
    """The library keeps no map then; what there is agrees with what was asked."""
    engine, report = load_of(device_map=asked)
    assert report.effective["device"] == "cpu"
    assert "not_as_requested" not in report.effective
    assert (report.effective["offloaded_share"], report.flags) == (0, [])
    assert ask(engine, rows(4), count=2)["batches"] == [1]


@pytest.mark.proves(
    "transformers.device_map",
    "transformers.max_memory",
    "transformers.offload_folder",
    "transformers.offload_buffers",
)
def test_what_fits_no_device_is_offloaded(load_of, ask, rows, bare, tmp_path):
    """With 2 MB for the CPU layers go to disk, and the tokens stay the same."""
    placed = {
        "device_map": "auto",
        "max_memory": {"cpu": "2MB"},
        "offload_folder": str(tmp_path),
        "offload_buffers": True,
    }
    engine, report = load_of(**placed)
    assert report.effective["device_map"]["model.layers"] == "disk"
    assert report.devices == ["cpu"]
    away = sum(
        one.numel() for one in engine._model.parameters() if one.device.type == "meta"
    )
    share = away / report.model["parameters"]
    assert report.effective["offloaded_share"] == share > 0
    assert report.flags == ["offloaded"]
    held_mb = 4 * (report.model["parameters"] - away) / 1e6
    assert held_mb == pytest.approx(report.memory["model_mb"], rel=0.01)
    hooks = [getattr(one, "_hf_hook", None) for one in engine._model.modules()]
    away = [one for one in hooks if getattr(one, "offload", False)]
    assert away
    assert all(one.offload_buffers for one in away)
    prompts = rows(3, 7)
    got = ask(engine, prompts, count=4)
    assert tokens(got) == [bare(row, 4) for row in prompts]


# What is loaded


@pytest.mark.proves("transformers.use_safetensors")
def test_safetensors_can_be_refused(load_of, llama, tmp_path):
    """Then the other file is taken, whose weights are zeros here; or none is there."""
    folder = tmp_path / "both"
    shutil.copytree(llama, folder)
    weights = load_file(folder / "model.safetensors")
    zeros = {name: torch.zeros_like(one) for name, one in weights.items()}
    torch.save(zeros, folder / "pytorch_model.bin")
    for asked, empty in ((None, False), (True, False), (False, True)):
        engine, _ = load_of(model=folder, use_safetensors=asked)
        matrix = engine._model.model.layers[0].mlp.up_proj.weight
        assert (not matrix.any()) is empty
    with pytest.raises(EngineLoadError, match=r"model\.safetensors"):
        load_of(use_safetensors=False)


@pytest.mark.proves("transformers.disable_mmap")
@pytest.mark.parametrize("asked", [True, False])
def test_weights_are_read_or_mapped(load_of, monkeypatch, asked):
    """The library's own two ways, counted."""
    calls = []
    original = transformers.modeling_utils._safe_load_bytes

    def counted(data):
        calls.append(len(data))
        return original(data)

    monkeypatch.setattr(transformers.modeling_utils, "_safe_load_bytes", counted)
    load_of(disable_mmap=asked)
    assert len(calls) == asked


@pytest.mark.proves("transformers.extra.load")
def test_further_arguments_of_loading_are_passed_on(load_of, tmp_path, llama):
    """A name of weights that is not the usual one is found; a wrong word is told."""
    folder = tmp_path / "variant"
    shutil.copytree(llama, folder)
    (folder / "model.safetensors").rename(folder / "model.other.safetensors")
    engine, _ = load_of(model=folder, extra={"load": {"variant": "other"}})
    assert engine._model.dtype == torch.float32
    with pytest.raises(EngineLoadError, match="no_such_argument"):
        load_of(extra={"load": {"no_such_argument": 1}})


@pytest.fixture(scope="module")
def experts(llama, tmp_path_factory):
    """A tiny mixture of experts."""
    folder = tmp_path_factory.mktemp("experts")
    config = transformers.MixtralConfig(
        vocab_size=384,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_local_experts=4,
        pad_token_id=258,
        max_position_embeddings=256,
    )
    transformers.MixtralForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(llama / name, folder)
    return folder


@pytest.mark.proves("transformers.experts_implementation")
@pytest.mark.parametrize("asked", ["eager", "batched_mm", "grouped_mm"])
def test_experts_are_multiplied_as_asked(load_of, experts, ask, rows, asked):
    """The layers take the function of that name; other models refuse all of them."""
    engine, report = load_of(model=experts, experts_implementation=asked)
    assert report.effective["experts_implementation"] == asked
    seen = set()
    for module in engine._model.modules():
        if "Experts" in type(module).__name__:
            seen.add(module.config._experts_implementation)
    assert seen == {asked}
    assert ask(engine, rows(4), count=2)["completions"][0].output_tokens == 2
    with pytest.raises(EngineLoadError, match=r"experts.implementation"):
        load_of(experts_implementation=asked)


def test_a_fusion_that_finds_nothing_is_flagged(load_of):
    """The library says nothing of it; text models have none of the modules."""
    _, report = load_of(fusion_config={"patch_embeddings": True}, strict=False)
    assert report.flags == ["not_as_requested"]
    assert "fusion_config" in report.effective["not_as_requested"][0]
    with pytest.raises(EngineLoadError, match="fusion_config"):
        load_of(fusion_config={"patch_embeddings": True})


@pytest.mark.skipif("kernels" in sys.modules, reason="shows what happens without it")
def test_kernels_of_the_hub_need_their_package(load_of):
    """The line says how to install it."""
    with pytest.raises(EngineLoadError, match="pip install kernels"):
        load_of(use_kernels=True)


# Quantisation


@pytest.mark.proves("transformers.quantization_config.method")
@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"load_in_8bit": True}, "bitsandbytes"),
        (
            {"method": "torchao", "options": {"quant_type": "Int8WeightOnlyConfig"}},
            "torchao",
        ),
        ({"method": "hqq"}, "HQQ"),
        ({"method": "quanto"}, "optimum-quanto"),
        ({"method": "compressed-tensors"}, "compressed-tensors"),
        ({"method": "nvfp4"}, "kernels"),
        ({"method": "fp8"}, "GPU"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_quantisation_that_cannot_be_names_what_is_missing(load_of, section, named):
    """The library's own words, in one line."""
    if named in PRESENT:
        pytest.skip(f"{named} is installed")
    with pytest.raises(EngineLoadError) as caught:
        load_of(quantization_config=section)
    assert named in caught.value.message
    assert "\n" not in caught.value.message


def _present():
    from importlib.util import find_spec

    return {name for name in ("bitsandbytes", "torchao") if find_spec(name)}


PRESENT = _present()


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"method": "gtpq"}, "did you mean 'gptq'"),
        ({"method": "gptq", "options": {"bits": 4, "bitz": 4}}, "did you mean"),
        ({"method": "gptq", "options": {"bits": 5}}, "Only support quantization to"),
        ({"method": "gptq", "options": {"bits": 4}}, "this one is not quantised"),
        ({"method": "awq"}, "needs a checkpoint that was quantised so"),
    ],
    ids=["method", "option", "value", "gptq", "awq"],
)
def test_a_quantisation_that_does_not_exist_is_refused(load_of, section, named):
    """Its method, an argument of it, a value, or weights that are so already."""
    with pytest.raises((ConfigError, EngineLoadError)) as caught:
        load_of(quantization_config=section)
    assert named in str(caught.value)


@pytest.mark.proves(
    "transformers.quantization_config.load_in_4bit",
    "transformers.quantization_config.load_in_8bit",
    "transformers.quantization_config.bnb_4bit_compute_dtype",
    "transformers.quantization_config.bnb_4bit_quant_type",
    "transformers.quantization_config.bnb_4bit_use_double_quant",
    "transformers.quantization_config.options",
    "transformers.quantization_config.method",
)
@pytest.mark.parametrize("weights", ["checkpoint", "random"])
@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ({"load_in_8bit": True, "options": {"llm_int8_threshold": 4.0}}, torch.int8),
        (
            {
                "method": "bitsandbytes",
                "load_in_4bit": True,
                "bnb_4bit_compute_dtype": "bfloat16",
                "bnb_4bit_quant_type": "nf4",
                "bnb_4bit_use_double_quant": True,
            },
            torch.uint8,
        ),
    ],
    ids=["8bit", "4bit"],
)
def test_bitsandbytes_holds_the_weights(load_of, ask, rows, section, kind, weights):
    """Layers are its own, with its types, and the precision of the record says so."""
    pytest.importorskip("bitsandbytes", reason="pip install bitsandbytes")
    engine, report = load_of(quantization_config=section, weights=weights)
    layer = engine._model.model.layers[0].self_attn.q_proj
    assert layer.weight.dtype == kind
    own = report.effective["quantization_config"]
    assert own["quant_method"] == "bitsandbytes"
    if kind == torch.uint8:
        state = layer.weight.quant_state
        assert (state.quant_type, state.nested) == ("nf4", True)
        assert layer.compute_dtype == torch.bfloat16
        assert report.effective["precision"]["compute"] == "bfloat16"
    else:
        assert layer.state.threshold == 4.0
    assert ask(engine, rows(4), count=2)["completions"][0].output_tokens == 2


def test_made_up_weights_go_through_the_loader_unchanged(load_of):
    """Equal seeds give equal weights with and without an argument for the loader."""
    plain, _ = load_of(weights="random", device="cpu")
    mapped, report = load_of(weights="random", device_map="cpu")
    assert report.effective["weights"] == "random"
    ours, theirs = plain._model.state_dict(), mapped._model.state_dict()
    assert all(torch.equal(one, theirs[name]) for name, one in ours.items())
    with pytest.raises(ConfigError, match="disable_mmap needs a checkpoint"):
        load_of(weights="random", disable_mmap=True)


# How torch runs


@pytest.fixture(scope="module")
def running(load):
    """An engine whose section the tests of torch's settings change."""

    def made(**section):
        return load(strict=True, **section)

    return made


@pytest.mark.proves("transformers.float32_matmul_precision")
def test_matmul_precision_is_set_and_put_back(running):
    """It holds from the load to the unload."""
    engine, report = running(float32_matmul_precision="medium")
    assert report.effective["float32_matmul_precision"] == "medium"
    assert torch.get_float32_matmul_precision() == "medium"
    engine.unload()
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.proves("transformers.num_threads")
def test_threads_are_set_inside_the_model_and_put_back(running, ask, rows):
    """Read in the forward call."""
    before, seen = torch.get_num_threads(), set()
    engine, report = running(num_threads=before + 1)
    engine._model.register_forward_hook(lambda *_: seen.add(torch.get_num_threads()))
    ask(engine, rows(3), count=1)
    assert seen == {before + 1} == {report.effective["num_threads"]}
    engine.unload()
    assert torch.get_num_threads() == before


@pytest.mark.proves("transformers.sdpa_kernel")
@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ("math", "aten::_scaled_dot_product_attention_math"),
        ("flash", "aten::_scaled_dot_product_flash_attention_for_cpu"),
    ],
)
def test_attention_uses_the_one_kernel_asked_for(running, ask, rows, asked, used):
    """The profiler sees it called, and no other."""
    engine, report = running(sdpa_kernel=asked)
    assert report.effective["sdpa_kernel"] == asked
    with torch.profiler.profile() as profiler:
        ask(engine, rows(3), count=1)
    names = {one.key for one in profiler.key_averages()}
    assert {name for name in names if "_scaled_dot_product" in name} == {used}


@pytest.mark.proves("transformers.autocast_enabled", "transformers.autocast_dtype")
def test_products_are_cast_as_asked(running, ask, rows):
    """float32 weights, and a product that comes out in bfloat16."""
    engine, report = running(autocast_enabled=True, autocast_dtype="bfloat16")
    seen = set()
    layer = engine._model.model.layers[0].mlp.up_proj
    layer.register_forward_hook(lambda *told: seen.add(told[2].dtype))
    ask(engine, rows(3), count=1)
    assert (layer.weight.dtype, seen) == (torch.float32, {torch.bfloat16})
    assert report.effective["precision"]["compute"] == "bfloat16"
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(
    "section",
    [
        {"allow_tf32": True},
        {"alloc_conf": "expandable_segments:True"},
        {"cache_implementation": "offloaded"},
        {"cache_implementation": "static", "compile_config": {"backend": "eager"}},
    ],
    ids=["tf32", "allocator", "offloaded", "compiled"],
)
def test_what_a_cpu_ignores_is_refused_there(running, section):
    """By name, before anything is loaded."""
    with pytest.raises(ConfigError, match="needs a GPU"):
        running(**section)
    (told,) = unfit(section, torch.device("cpu"))
    assert "needs a GPU" in told


def test_a_device_that_is_not_there_is_told_before_a_load(load):
    """With how many there are."""
    with pytest.raises(HardwareError, match=r"100 GPUs are needed .* sees"):
        load(device="cuda:99")


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (9, 0)])
def test_a_kernel_that_a_gpu_is_too_old_for_is_refused(monkeypatch, capability):
    """Told by its compute capability, before a model is loaded."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    asked = {"attn_implementation": "flash_attention_2"}
    found = unfit(asked, torch.device("cuda", 0))
    told = "needs a GPU of compute capability 8.0, and this one has 7.5"
    assert [told in line for line in found] == ([True] if capability < (8, 0) else [])


def test_the_report_of_a_spread_model_is_plain(load_of):
    """All of it goes through JSON."""
    _, report = load_of(device_map="auto", max_memory={"cpu": "2MB"})
    assert json.loads(json.dumps(report.effective)) == report.effective


@pytest.mark.gpu
@pytest.mark.proves("transformers.allow_tf32", "transformers.alloc_conf")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_settings_of_gpus_are_read_back(load_of):
    """TF32 and the allocator, put back afterwards."""
    engine, report = load_of(allow_tf32=True, alloc_conf="expandable_segments:True")
    assert report.effective["allow_tf32"]
    assert "expandable_segments:True" in report.effective["alloc_conf"]
    assert report.effective["precision"]["compute"] in ("tf32", "float16")
    engine.unload()
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.gpu
@pytest.mark.proves(
    "transformers.compile_config.backend",
    "transformers.compile_config.fullgraph",
    "transformers.compile_config.dynamic",
)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_static_cache_is_compiled_as_asked_on_a_gpu(load_of, ask, rows):
    """The model keeps the configuration of its last compiled call."""
    asked = {"backend": "eager", "fullgraph": False, "dynamic": True}
    engine, _ = load_of(cache_implementation="static", compile_config=asked)
    ask(engine, rows(4), count=3)
    found = vars(engine._model._last_compile_config)
    assert asked.items() <= found.items()
