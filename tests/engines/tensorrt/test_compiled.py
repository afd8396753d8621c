"""Engines that are compiled: kept by what decides them, checked before a load."""

import json
import shutil
import time

import pytest

from pytest_lem.engines.tensorrt import compiled
from pytest_lem.errors import ConfigError
from pytest_lem.spec.parameters.tensorrt import TensorrtParameters
from pytest_lem.spec.parameters.tensorrt.compiled import Quantization


@pytest.fixture
def built(start):
    """What a load with a section says of its engine."""

    def load(**section):
        _, report = start(backend="tensorrt", **section)
        return report.effective["compiled"]

    return load


@pytest.mark.proves("tensorrt.backend", "tensorrt.force_rebuild")
def test_an_engine_is_compiled_once(built, start, ask, rows):
    """The second load takes it from the cache; compiling is timed apart."""
    first = built()
    assert (first["engine_cache"], first["build_s"] > 0) == ("miss", True)
    again = built()
    assert (again["engine_cache"], again["build_s"]) == ("hit", None)
    assert again["engine_path"] == first["engine_path"]
    assert built(force_rebuild=True)["engine_cache"] == "miss"
    assert built()["engine_cache"] == "hit"
    engine, _ = start(backend="tensorrt")
    got = ask(engine, rows(5, 9), count=4)
    assert [one.output_tokens for one in got["completions"]] == [4, 4]


OTHER = [
    {"opt_batch_size": 4},
    {"max_seq_len": 256},
    {"tensor_parallel_size": 2},
    {"quantization": {"method": "int8_weight_only"}},
    {"kv_cache_quant_algo": "INT8"},
    {"kv_cache_type": "CONTINUOUS"},
    {"strongly_typed": False},
    {"remove_input_padding": False},
    {"fast_build": True},
    {"extra": {"build": {"use_refit": True}}},
    {"precision": "bfloat16"},
    {"model_kwargs": {"num_hidden_layers": 1}},
]


@pytest.mark.proves("tensorrt.extra.build")
@pytest.mark.parametrize("change", OTHER, ids=lambda one: next(iter(one)))
def test_whatever_decides_an_engine_makes_it_another(spec_of, gpus, change):
    """So nothing is served that was compiled for something else."""
    from pytest_lem.engines.tensorrt import hardware

    def key(spec, found=None, version="1.2.1"):
        facts = compiled.key_facts(spec, found or hardware.gpus(), version)
        return compiled.key_of(facts)

    plain = key(spec_of())
    assert key(spec_of(**change)) != plain
    assert key(spec_of(force_rebuild=True, engine_cache_dir="/x")) == plain


def test_model_gpu_and_version_decide_as_well(spec_of, gpus, llama, tmp_path):
    """A checkpoint counts by its content, wherever it lies."""
    from pytest_lem.engines.tensorrt import hardware

    def key(spec, version="1.2.1"):
        return compiled.key_of(compiled.key_facts(spec, hardware.gpus(), version))

    plain = key(spec_of())
    assert key(spec_of(), version="1.2.0") != plain
    gpus((8, 0))
    assert key(spec_of()) != plain
    gpus((9, 0))
    moved = tmp_path / "moved"
    shutil.copytree(llama, moved)
    assert key(spec_of(model=str(moved))) == plain
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.5}))
    assert key(spec_of(model=str(moved))) != plain


@pytest.mark.proves("tensorrt.engine_cache_dir")
def test_engines_are_kept_where_it_is_said(built, tmp_path):
    """With what decided them beside; an interrupted one leaves nothing behind."""
    folder = tmp_path / "engines"
    path = built(engine_cache_dir=str(folder))["engine_path"]
    assert [str(one) for one in folder.iterdir()] == [path]
    told = json.loads((folder / path / "lem.json").read_text())
    assert told["capability"] == [9, 0]


@pytest.fixture
def engine(built, tmp_path):
    """A directory with an engine of two ranks, as somebody else compiled it."""
    made = built(tensor_parallel_size=1)["engine_path"]
    path = tmp_path / "engine"
    shutil.copytree(made, path)
    return path


@pytest.mark.proves("tensorrt.engine_path")
def test_a_given_engine_is_loaded_and_not_compiled(start, engine, llms, ask, rows):
    """Nothing that it was compiled from is said again."""
    loaded, report = start(engine_path=str(engine))
    told = report.effective["compiled"]
    assert (told["engine_cache"], told["build_s"]) == ("given", None)
    (llm,) = llms()
    assert llm.args.model == str(engine)
    assert llm.args.build_config is None
    assert len(ask(loaded, rows(5), count=3)["completions"][0].output_ids) == 3


def test_an_engine_that_is_not_what_was_asked_for_is_refused(start, engine, gpus):
    """Before it is loaded: ranks, sizes, version, GPU, or no engine at all."""
    gpus((9, 0), (9, 0))

    def told(**section):
        with pytest.raises(ConfigError) as error:
            start(engine_path=str(engine), **section)
        assert "\n" not in error.value.message
        return error.value.message

    assert "compiled for tp_size 1, and tensorrt.tensor_parallel_size is 2" in told(
        tensor_parallel_size=2
    )
    gpus((8, 9))
    assert "for compute capability 9.0, and this GPU has 8.9" in told()
    gpus((9, 0))
    config = json.loads((engine / "config.json").read_text())
    (engine / "config.json").write_text(json.dumps({**config, "version": "1.1.0"}))
    assert "it was compiled by TensorRT-LLM 1.1.0, and this is 1.3" in told()
    (engine / "config.json").write_text(json.dumps(config))
    (engine / "rank0.engine").unlink()
    assert "rank0.engine of 1 ranks is not there" in told()
    (engine / "config.json").write_text(json.dumps({"vocab_size": 1}))
    assert "config.json is that of a model, not of an engine" in told()
    (engine / "config.json").unlink()
    assert "there is no config.json of an engine" in told()


def test_four_bits_need_a_checkpoint_of_their_kind(start):
    """Such weights are read, never made."""
    with pytest.raises(
        ConfigError, match="quantised by GPTQ, and this one is not quan"
    ):
        start(quantization={"method": "int4_gptq"})


def test_compiling_says_in_the_log_that_it_goes_on(monkeypatch, capfd):
    """A silent one would be taken for a hang."""
    monkeypatch.setattr(compiled, "TELL_EVERY_S", 0.01)
    with compiled._telling(time.monotonic()):
        time.sleep(0.2)
    assert "TensorRT-LLM has been compiling for 0 s" in capfd.readouterr().out


def test_both_sides_know_the_same_methods():
    """What the section takes has a name in TensorRT-LLM."""
    told = Quantization.model_fields["method"].annotation
    assert {*compiled.ALGORITHMS} == {*told.__args__[0].__args__}
    section = TensorrtParameters.model_validate({"fast_build": True})
    assert section.compiles
    assert compiled.compiles({"fast_build": True})
    assert not compiled.compiles({"backend": "pytorch", "max_batch_size": 2})
