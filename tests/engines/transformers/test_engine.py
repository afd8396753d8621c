"""The real transformers library on a tiny Llama, on the CPU."""

import json
import math
import shutil
import subprocess
import sys
import time
from itertools import groupby

import pytest

from pytest_lem.engines import GenerateOptions
from pytest_lem.engines.contract import judged
from pytest_lem.errors import (
    ConfigError,
    EngineLoadError,
    GenerationError,
    HardwareError,
)
from pytest_lem.workload import models
from tests.engines.driving import one_pass, prompts_of, spec

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from pytest_lem.engines.transformers import engine as room  # noqa: E402
from pytest_lem.engines.transformers import (  # noqa: E402
    failures,
    loading,
)
from pytest_lem.engines.transformers import requests as batching  # noqa: E402

LENGTHS = (3, 11, 7, 20, 5)


@pytest.fixture(scope="module")
def reference(llama):
    """The same checkpoint, loaded by the library alone."""
    return transformers.AutoModelForCausalLM.from_pretrained(llama, dtype="float32")


@pytest.fixture(scope="module")
def engine(llama):
    """An engine with the tiny checkpoint loaded in float32."""
    made = room.TransformersEngine()
    made.load(on_cpu(llama))
    yield made
    made.unload()


def loaded(model, **changes):
    """An engine and what its load reported."""
    made = room.TransformersEngine()
    return made, made.load(on_cpu(model, **changes))


def on_cpu(model, *, engine=None, **changes):
    """A load request that names the CPU, unless its section names another."""
    return spec(model, engine={"device": "cpu", **(engine or {})}, **changes)


def alone(reference, row, count, **options):
    """What the library generates from one prompt without batch, pads or engine."""
    ids = torch.tensor([row])
    config = transformers.GenerationConfig(
        max_new_tokens=count, do_sample=False, pad_token_id=258, **options
    )
    with torch.inference_mode():
        out = reference.generate(
            ids, attention_mask=torch.ones_like(ids), generation_config=config
        )
    return out[0, len(row) :].tolist()


def frequent_tokens(reference):
    """Ids that the model soon generates: good end tokens for a test."""
    rows = [
        alone(reference, row, 12, min_new_tokens=12) for row in prompts_of(*LENGTHS)
    ]
    return [rows[1][3], rows[2][6], rows[3][0]]


@pytest.fixture(scope="module")
def stopping(llama, reference, tmp_path_factory):
    """An engine whose model has end tokens that it generates early."""
    folder = tmp_path_factory.mktemp("model") / "stopping"
    shutil.copytree(llama, folder)
    path = folder / "generation_config.json"
    config = json.loads(path.read_text())
    config["eos_token_id"] = frequent_tokens(reference)
    path.write_text(json.dumps(config))
    made = room.TransformersEngine()
    made.load(on_cpu(folder))
    yield made
    made.unload()


# What is generated


def test_a_padded_batch_generates_what_each_prompt_would_alone(engine, reference):
    """Greedy in float32, unequal lengths in a batch change no token (C07, C08)."""
    rows = prompts_of(*LENGTHS)
    got = one_pass(engine, rows, min_output_tokens=12, batch_size=5)
    outputs = [each.output_ids for each in got["completions"]]
    assert outputs == [alone(reference, row, 12, min_new_tokens=12) for row in rows]
    assert len({tuple(each) for each in outputs}) == 5
    assert [each.input_tokens for each in got["completions"]] == list(LENGTHS)


def test_batches_have_exactly_the_size_asked_for(engine):
    """Five prompts in twos: 2, 2, 1, in their order (C03)."""
    got = one_pass(engine, prompts_of(*LENGTHS), min_output_tokens=12)
    assert got["batches"] == [2, 2, 1]
    assert [each.input_tokens for each in got["completions"]] == list(LENGTHS)
    assert got["padding_tokens"] == (11 - 3) + (20 - 7)
    assert got["native"]["decoding_steps"] == [12, 12, 12]


def test_pads_are_on_the_left_and_masked_in_the_forward_call(engine):
    """The model itself sees pads first, under a mask of zeros (C07)."""
    seen = []
    hook = engine._model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["attention_mask"].clone()),
        with_kwargs=True,
    )
    try:
        options = GenerateOptions(output_tokens=2, min_output_tokens=2, batch_size=2)
        (batch,) = engine.prepare(prompts_of(3, 5), options)
        engine.run(batch, options)
    finally:
        hook.remove()
    assert batch.input_ids.tolist()[0][:2] == [258, 258]
    assert seen[0].tolist() == [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]
    assert seen[1].tolist() == [[0, 0, 1, 1, 1, 1], [1] * 6]


def test_one_generate_call_for_each_batch_and_nothing_more(engine, monkeypatch):
    """The window holds one call of `generate` per batch; tensors are ready (L01)."""
    calls = []
    original = engine._model.generate

    def recorded(**kwargs):
        calls.append(kwargs)
        assert torch.is_inference_mode_enabled()
        return original(**kwargs)

    monkeypatch.setattr(engine._model, "generate", recorded)
    options = GenerateOptions(output_tokens=3, batch_size=2)
    batches = engine.prepare(prompts_of(*LENGTHS), options)
    assert not calls
    assert all(isinstance(each.input_ids, torch.Tensor) for each in batches)
    assert len({id(each.generation) for each in batches}) == 1
    outcomes = [engine.run(each, options) for each in batches]
    assert len(calls) == 3
    engine.collect(batches, outcomes, [(0, 1)] * 3, options)
    assert len(calls) == 3
    assert set(calls[0]) == {
        "input_ids",
        "attention_mask",
        "generation_config",
        "streamer",
    }
    assert calls[0]["streamer"] is None


def test_a_row_ends_at_its_first_end_token(stopping, reference):
    """Rows of a batch end early and apart; what fills them up is not counted (C08)."""
    rows = prompts_of(*LENGTHS)
    ends = frequent_tokens(reference)
    got = one_pass(stopping, rows, batch_size=5)
    outputs = [each.output_ids for each in got["completions"]]
    expected = [alone(reference, row, 12, eos_token_id=ends) for row in rows]
    assert outputs == expected
    assert len({len(output) for output in outputs}) > 1
    for each in got["completions"]:
        stopped = each.output_ids[-1] in ends
        assert each.finish_reason == ("stop" if stopped else "length")
        assert not set(each.output_ids[:-1]) & set(ends)
    steps = max(len(output) for output in outputs)
    left = sum(max(LENGTHS) - length for length in LENGTHS)
    right = sum(steps - len(output) for output in outputs)
    assert right > 0
    assert got["padding_tokens"] == left + right


@pytest.mark.proves("output_tokens", "min_output_tokens")
def test_a_forced_length_goes_past_end_tokens(stopping):
    """With minimum and limit equal, every request has all its tokens."""
    got = one_pass(stopping, prompts_of(*LENGTHS), min_output_tokens=12, batch_size=5)
    assert {each.output_tokens for each in got["completions"]} == {12}
    assert {each.finish_reason for each in got["completions"]} == {"length"}


def test_a_model_that_samples_by_default_is_greedy_here(llama, reference, tmp_path):
    """The model's own `do_sample` does not make results random."""
    folder = tmp_path / "sampling"
    shutil.copytree(llama, folder)
    path = folder / "generation_config.json"
    sampling = {"do_sample": True, "temperature": 5.0, "eos_token_id": 257}
    path.write_text(json.dumps(sampling))
    made, _ = loaded(folder)
    (row,) = prompts_of(9)
    got = one_pass(made, [row], min_output_tokens=12)["completions"][0]
    assert got.output_ids == alone(reference, row, 12, min_new_tokens=12)


@pytest.mark.proves("seed", "decoder.do_sample")
def test_sampling_follows_the_seed(engine):
    """Equal seeds give equal samples, others do not, and Python's and numpy's too."""
    import random

    import numpy as np

    sampling = {"do_sample": True, "temperature": 2.0, "top_k": 0}
    runs, states = [], []
    for seed in (1, 1, 2):
        got = one_pass(
            engine,
            prompts_of(*LENGTHS),
            min_output_tokens=12,
            decoder=sampling,
            seed=seed,
        )
        runs.append([each.output_ids for each in got["completions"]])
        states.append((random.random(), float(np.random.rand())))
    assert runs[0] == runs[1] != runs[2]
    assert states[0] == states[1] != states[2]


@pytest.mark.parametrize(
    ("decoder", "expected"),
    [
        ({"do_sample": True}, {"do_sample": True}),
        ({"do_sample": True, "temperature": 0.5}, {"temperature": 0.5}),
        ({"do_sample": True, "top_p": 0.5}, {"top_p": 0.5}),
        ({"do_sample": True, "top_k": 7}, {"top_k": 7}),
        ({"do_sample": True, "min_p": 0.1}, {"min_p": 0.1}),
        ({"repetition_penalty": 1.3}, {"repetition_penalty": 1.3}),
        ({"no_repeat_ngram_size": 2}, {"no_repeat_ngram_size": 2}),
        ({"num_beams": 2}, {"num_beams": 2}),
        ({"temperature": None}, {"do_sample": False, "num_beams": 1}),
    ],
    ids=lambda value: ",".join(value),
)
def test_decoder_options_reach_the_generation(engine, decoder, expected):
    """Each option is in the config that `generate` gets, and the pass works (C02)."""
    got = one_pass(engine, prompts_of(4, 6), min_output_tokens=12, decoder=decoder)
    generation = got["native"]["generation"]
    assert expected.items() <= generation.items()
    assert generation["max_new_tokens"] == generation["min_new_tokens"] == 12


@pytest.mark.proves("decoder.no_repeat_ngram_size", "decoder.num_beams")
def test_decoder_options_change_the_tokens(engine):
    """Repetition rules and beams do what their names say."""
    rows = prompts_of(4, 6)
    plain, ngrams, beams = (
        [
            each.output_ids
            for each in one_pass(
                engine, rows, output_tokens=40, min_output_tokens=40, decoder=decoder
            )["completions"]
        ]
        for decoder in ({}, {"no_repeat_ngram_size": 1}, {"num_beams": 3})
    )
    assert any(len(set(output)) < 40 for output in plain)
    assert all(len(set(output)) == 40 for output in ngrams)
    assert beams != plain


# Stamps


def test_each_row_has_a_stamp_for_each_of_its_tokens(stopping):
    """Stamps rise, lie in the batch's span, and end with the row's last token (C19)."""
    got = one_pass(stopping, prompts_of(*LENGTHS), batch_size=5, stamps=True)
    counts = {each.output_tokens for each in got["completions"]}
    assert len(counts) > 1
    for each in got["completions"]:
        assert len(each.token_ns) == each.output_tokens
        assert each.token_ns == sorted(set(each.token_ns))
        assert each.sent_ns < each.token_ns[0]
        assert each.token_ns[-1] <= each.ended_ns


def test_stamps_change_no_token(engine):
    """Watching a pass gives the same tokens as not watching it."""
    one = one_pass(engine, prompts_of(*LENGTHS), min_output_tokens=12, stamps=True)
    two = one_pass(engine, prompts_of(*LENGTHS), min_output_tokens=12)
    assert [each.output_ids for each in one["completions"]] == [
        each.output_ids for each in two["completions"]
    ]
    assert all(not each.token_ns for each in two["completions"])


def test_stamps_are_as_many_as_forward_calls(engine):
    """One stamp for each time the model ran: none late, none lost."""
    forwards = []
    hook = engine._model.register_forward_hook(
        lambda *_: forwards.append(time.monotonic_ns())
    )
    try:
        got = one_pass(engine, prompts_of(4), min_output_tokens=12, stamps=True)
    finally:
        hook.remove()
    (each,) = got["completions"]
    assert len(forwards) == len(each.token_ns) == 12
    pairs = zip(forwards, each.token_ns, strict=True)
    assert all(forward < stamp for forward, stamp in pairs)


def test_a_lost_stamp_is_an_error():
    """Stamps that do not match the tokens end the pass."""
    with pytest.raises(GenerationError, match="2 steps were stamped and 3 tokens"):
        batching.completions_of(
            [[1, 2, 3]],
            [4],
            [10, 11, 12],
            (0, 20),
            ends=frozenset(),
            options=GenerateOptions(output_tokens=3),
        )


def test_a_failure_while_stamping_is_raised_and_the_engine_lives(engine, monkeypatch):
    """An error in the middle of a stamped pass comes out with its cause (C20, C21)."""
    calls = []

    def broken(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("boom\nsecond line")

    hook = engine._model.register_forward_pre_hook(broken)
    try:
        with pytest.raises(GenerationError, match=r"RuntimeError: boom$") as caught:
            one_pass(engine, prompts_of(4), stamps=True)
    finally:
        hook.remove()
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert one_pass(engine, prompts_of(4), min_output_tokens=12)["batches"] == [1]


def test_out_of_memory_keeps_its_class(engine):
    """torch's own error passes through, for the worker to name."""

    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    hook = engine._model.register_forward_pre_hook(full)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            one_pass(engine, prompts_of(4))
    finally:
        hook.remove()


def test_host_memory_that_is_full_is_told():
    """torch reports a full host as a plain error; it gets the right kind."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert failures.generation_failure(caught.value).kind == "out_of_memory"


# Token accounting, without a model


@pytest.mark.parametrize(
    ("row", "ids", "reason"),
    [
        ([5, 6, 7, 8], [5, 6, 7, 8], "length"),
        ([5, 9, 0, 0], [5, 9], "stop"),
        ([9, 9, 9, 9], [9], "stop"),
        ([5, 6, 7, 9], [5, 6, 7, 9], "stop"),
        ([5, 8, 9, 0], [5, 8], "stop"),
        ([5, 6], [5, 6], "unknown"),
        ([0, 0, 9, 0], [0, 0, 9], "stop"),
    ],
)
def test_own_tokens_end_with_the_first_end_token(row, ids, reason):
    """Pads after the end are cut; an id equal to the pad before it is a token."""
    ends = frozenset({8, 9}) if 8 in row[:2] else frozenset({9})
    assert batching.own_tokens(row, ends, limit=4) == (ids, reason)


@pytest.mark.parametrize(("minimum", "rows"), [(3, [[1, 2]]), (2, [[9, 0, 0]])])
def test_a_request_with_fewer_tokens_than_asked_stopped_early(minimum, rows):
    """It is kept, and marked; one with more than asked is an error."""
    options = GenerateOptions(output_tokens=3, min_output_tokens=minimum)

    def made(rows):
        return batching.completions_of(
            rows, [1], None, (0, 1), ends=frozenset({9}), options=options
        )

    (one,) = made(rows)
    assert judged(one, options).outcome == "early_stop"
    with pytest.raises(GenerationError, match="at most 3 were asked for"):
        made([[1, 2, 3, 4]])


def test_more_work_than_asked_is_an_error():
    """A row longer than the limit is not kept."""
    options = GenerateOptions(output_tokens=3)
    with pytest.raises(GenerationError, match="got 4 tokens"):
        batching.completions_of(
            [[1, 2, 3, 4]], [1], None, (0, 1), ends=frozenset(), options=options
        )


# What is refused before anything runs


@pytest.mark.parametrize(
    ("rows", "options", "named"),
    [
        (
            [[1] * 4090],
            {"output_tokens": 7},
            "that is 4097: the model's context is 4096",
        ),
        ([[1], []], {}, "prompt 1 has no tokens"),
        ([[1]], {"batch_size": 0}, "batch_size 0"),
        ([[1]], {"output_tokens": 0}, "output_tokens 0"),
        ([[1]], {"min_output_tokens": 13}, "min_output_tokens 13"),
        ([[1]], {"decoder": {"temprature": 1.0}}, "did you mean 'decoder.temperature'"),
        ([[1]], {"decoder": {"num_beams": 2}, "stamps": True}, "num_beams=1"),
    ],
    ids=["context", "empty", "batch", "zero", "minimum", "typo", "beams"],
)
def test_what_cannot_be_is_refused(engine, rows, options, named):
    """One line names the value and the limit."""
    with pytest.raises(ConfigError) as caught:
        one_pass(engine, rows, **options)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_value_that_the_library_refuses_is_told(engine):
    """The library checks values when it generates; its own words come through."""
    decoder = {"do_sample": True, "temperature": -1.0}
    with pytest.raises(GenerationError, match="ValueError: `temperature`"):
        one_pass(engine, [[1]], decoder=decoder)


def test_the_context_may_be_filled_to_the_last_token(engine):
    """Prompt and output together may be exactly as long as the context."""
    got = one_pass(engine, [[5] * 4090], output_tokens=6, min_output_tokens=6)
    assert got["completions"][0].output_tokens == 6


# Loading


@pytest.mark.proves("precision", "model")
@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        (None, "float32"),
        ("float32", "float32"),
        ("float16", "float16"),
        ("bfloat16", "bfloat16"),
    ],
)
@pytest.mark.parametrize("weights", ["checkpoint", "random"])
def test_precision_reaches_every_parameter(llama, precision, dtype, weights):
    """The dtype is read from the weights; the CPU's default is float32 (PU02)."""
    made, report = loaded(llama, precision=precision, weights=weights)
    assert {each.dtype for each in made._model.parameters()} == {getattr(torch, dtype)}
    assert report.effective["dtype"] == report.model["dtype"] == dtype
    got = one_pass(made, prompts_of(*LENGTHS), min_output_tokens=12)
    assert {each.output_tokens for each in got["completions"]} == {12}


@pytest.mark.proves("transformers.attn_implementation")
@pytest.mark.parametrize("weights", ["checkpoint", "random"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_reaches_the_kernel(llama, attention, weights, monkeypatch):
    """With sdpa torch's fused function runs once per layer, with eager never (C01)."""
    calls = []
    original = torch.nn.functional.scaled_dot_product_attention

    def counted(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
    made, report = loaded(
        llama, engine={"attn_implementation": attention}, weights=weights, strict=True
    )
    assert report.effective["attn_implementation"] == attention
    assert report.flags == []
    one_pass(made, prompts_of(4), output_tokens=1, min_output_tokens=1)
    assert len(calls) == (2 if attention == "sdpa" else 0)


def test_eager_and_sdpa_agree(llama, reference):
    """The attention implementation changes cost, not greedy tokens."""
    made, _ = loaded(llama, engine={"attn_implementation": "eager"})
    rows = prompts_of(*LENGTHS)
    got = one_pass(made, rows, min_output_tokens=12, batch_size=5)
    assert [each.output_ids for each in got["completions"]] == [
        alone(reference, row, 12, min_new_tokens=12) for row in rows
    ]


@pytest.mark.parametrize("weights", ["checkpoint", "random"])
def test_a_missing_attention_kernel_fails_when_strict(llama, weights):
    """Strict mode names the kernel in one line (C10)."""
    asked = {"attn_implementation": "flash_attention_2"}
    with pytest.raises(EngineLoadError) as caught:
        loaded(llama, engine=asked, weights=weights, strict=True)
    assert "flashattention2" in caught.value.message.lower().replace("_", "")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("strict", [True, False])
def test_an_attention_kernel_that_nobody_knows_is_refused(llama, strict):
    """A slip of the pen is no kernel that is missing: the nearest one is named."""
    asked = {"attn_implementation": "flash_atention_2"}
    with pytest.raises(ConfigError, match=r"did you mean 'flash_attention_2'\?"):
        loaded(llama, engine=asked, strict=strict)


@pytest.mark.parametrize("weights", ["checkpoint", "random"])
def test_a_missing_attention_kernel_falls_back_with_a_flag(llama, weights):
    """Otherwise the default runs, and the record shows it (C10)."""
    asked = {"attn_implementation": "flash_attention_2"}
    made, report = loaded(llama, engine=asked, weights=weights)
    assert report.flags == ["attention_fallback"]
    assert report.effective["attn_implementation"] == "sdpa"
    assert one_pass(made, prompts_of(*LENGTHS), min_output_tokens=12)["batches"] == [
        2,
        2,
        1,
    ]


@pytest.mark.proves("revision")
def test_a_revision_of_a_local_directory_is_flagged(llama):
    """The library ignores it without a word; the record does not."""
    _, report = loaded(llama, revision="v1")
    assert report.flags == ["revision_ignored_local"]
    assert report.model["revision"] is None


@pytest.mark.proves("transformers.device")
def test_the_cpu_can_be_asked_for(llama):
    """`device: cpu` is the CPU, and the report says where the model is (C22)."""
    _, report = loaded(llama, engine={"device": "cpu"})
    assert report.effective["device"] == "cpu"
    assert report.devices == ["cpu"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="shows what happens without GPU")
@pytest.mark.parametrize(
    ("engine", "expected", "error"),
    [
        ({"device": "cuda"}, 0, HardwareError),
        ({"device": "cuda:3"}, 0, HardwareError),
        ({"device": None}, 2, EngineLoadError),
    ],
    ids=["cuda", "index", "expected"],
)
def test_a_gpu_that_is_not_there_is_an_error(llama, engine, expected, error):
    """Nothing lands on the CPU unasked; the line names torch's build (C18)."""
    with pytest.raises(error) as caught:
        loaded(llama, engine=engine, gpus_expected=expected)
    assert torch.__version__ in caught.value.message
    assert "CUDA" in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"engine": {"device": "gpu0"}}, "device 'gpu0'"),
        ({"engine": {"device": "meta"}}, "device 'meta'"),
        (
            {"engine": {"atn_implementation": "sdpa"}},
            "transformers.atn_implementation is not driven yet",
        ),
        ({"precision": "float8"}, "precision 'float8'"),
    ],
    ids=["device", "meta", "typo", "precision"],
)
def test_options_that_do_not_exist_are_refused(llama, changes, named):
    """A wrong name or value fails before anything is loaded."""
    with pytest.raises(ConfigError) as caught:
        loaded(llama, **changes)
    assert named in str(caught.value)


REMOTE = """
from transformers import LlamaForCausalLM


class OwnForCausalLM(LlamaForCausalLM):
    pass
"""


@pytest.fixture
def remote(llama, tmp_path, monkeypatch):
    """A model that brings its own code."""
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    folder = tmp_path / "own"
    shutil.copytree(llama, folder)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_own.py").write_text(REMOTE)
    return folder


@pytest.mark.proves("trust_remote_code")
@pytest.mark.parametrize("trusted", [True, False])
def test_the_models_own_code_runs_only_when_trusted(remote, trusted):
    """`trust_remote_code` decides which class is built, and is reported (V07)."""
    made, report = loaded(remote, trust_remote_code=trusted)
    expected = "OwnForCausalLM" if trusted else "LlamaForCausalLM"
    assert type(made._model).__name__ == report.model["architecture"] == expected
    assert report.effective["trust_remote_code"] is trusted
    assert report.model["custom_code"] is trusted


def test_code_that_must_be_trusted_fails_in_one_line(remote):
    """A model type that the library does not know needs its code, and says so."""
    config = json.loads((remote / "config.json").read_text())
    config["model_type"] = "unheard_of"
    (remote / "config.json").write_text(json.dumps(config))
    with pytest.raises(EngineLoadError) as caught:
        loaded(remote)
    assert str(remote) in caught.value.message
    assert "\n" not in caught.value.message


def test_a_broken_checkpoint_fails_in_one_line(llama, tmp_path):
    """A cut weights file is a load error, whatever class the library raises."""
    folder = tmp_path / "cut"
    shutil.copytree(llama, folder)
    (folder / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(EngineLoadError) as caught:
        loaded(folder)
    assert "\n" not in caught.value.message


def test_a_hub_id_without_network_fails_in_one_line(monkeypatch, tmp_path):
    """Offline, an id that is not cached is told in one line, and the cause kept."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(EngineLoadError, match="nobody/no-such-model") as caught:
        loaded("nobody/no-such-model")
    assert "\n" not in caught.value.message
    assert caught.value.__cause__


# Random weights


def test_random_weights_have_the_shape_and_buffers_of_the_real_model(llama, reference):
    """Names, shapes and rotary buffers equal those of a normally loaded model."""
    made, report = loaded(llama, weights="random")
    ours = dict(made._model.named_parameters())
    theirs = dict(reference.named_parameters())
    assert {name: each.shape for name, each in ours.items()} == {
        name: each.shape for name, each in theirs.items()
    }
    buffers = dict(made._model.named_buffers())
    assert "model.rotary_emb.inv_freq" in buffers
    for name, each in reference.named_buffers():
        assert torch.equal(buffers[name], each)
    assert report.effective["weights"] == "random"
    assert not made._model.training


def test_buffers_stay_in_float32_in_half_precision(llama, reference):
    """Rotary frequencies keep their precision where the weights are 16 bits."""
    made, _ = loaded(llama, weights="random", precision="bfloat16")
    ours = dict(made._model.named_buffers())
    for name, each in reference.named_buffers():
        assert ours[name].dtype == torch.float32
        assert torch.equal(ours[name], each)


def test_random_weights_are_really_random_and_follow_the_seed(llama):
    """Every matrix has the config's spread; equal seeds give equal weights."""
    states = [
        loaded(llama, weights="random", weights_seed=seed)[0]._model.state_dict()
        for seed in (1, 1, 2)
    ]
    for name, each in states[0].items():
        assert torch.equal(each, states[1][name])
        if each.dim() == 2:
            assert each.std().item() == pytest.approx(0.1, rel=0.1), name
            assert not torch.equal(each, states[2][name])


def test_a_shape_from_the_table_loads_with_random_weights(tmp_path):
    """A known shape with scaled rotary frequencies gets them right, and generates."""
    model = models.resolve(
        "synthetic:smollm2-135m", backend="transformers", cache_dir=tmp_path
    )
    made, report = loaded(model.path, weights=model.weights, precision="bfloat16")
    assert report.model["parameters"] == 134_515_008
    assert report.memory["model_mb"] == pytest.approx(2 * 134.515008, rel=1e-4)
    got = one_pass(made, [[5, 6, 7]], output_tokens=2, min_output_tokens=2)
    assert got["completions"][0].output_tokens == 2


# What is reported


def test_model_facts_are_those_of_the_checkpoint(llama):
    """Size, shape, special ids and hashes, as the files have them (W08)."""
    _, report = loaded(llama)
    config = json.loads((llama / "config.json").read_text())
    facts = report.model
    assert facts["architecture"] == "LlamaForCausalLM"
    assert facts["parameters"] == 886_016
    assert facts["vocab_size"] == config["vocab_size"] == 384
    assert facts["context_length"] == 4096
    assert (facts["layers"], facts["hidden_size"]) == (2, 256)
    assert (facts["attention_heads"], facts["key_value_heads"]) == (4, 2)
    assert (facts["head_dim"], facts["intermediate_size"]) == (64, 256)
    assert facts["tied_embeddings"] is True
    assert (facts["bos_id"], facts["eos_ids"], facts["pad_id"]) == (256, [257], 258)
    assert facts["reserved_ids"] == [256, 257, 258]
    hashes = models.directory_sha256(llama)
    assert hashes.items() <= facts.items()


def test_the_effective_configuration_is_read_back(llama):
    """What the objects have, with the library's defaults merged in; plain JSON."""
    _, report = loaded(llama)
    effective = report.effective
    assert json.loads(json.dumps(effective)) == effective
    assert json.loads(json.dumps(report.model)) == report.model
    assert effective["training"] is False
    assert effective["use_cache"] is True
    assert effective["num_threads"] == torch.get_num_threads()
    assert effective["generation"]["eos_token_id"] == 257
    assert effective["generation"]["repetition_penalty"] == 1.0
    assert effective["weights_seed"] is None


def test_memory_on_the_cpu_is_the_models_own_bytes(llama):
    """Peaks that only a GPU has are null, not zero (P01)."""
    made, report = loaded(llama, precision="float16")
    buffers = sum(each.nbytes for each in made._model.buffers())
    assert report.memory["model_mb"] == (886_016 * 2 + buffers) / 1e6
    assert report.memory["load_peak_mb"] is None
    got = one_pass(made, prompts_of(*LENGTHS), output_tokens=2)
    assert got["memory"]["inference_peak_mb"] is None
    assert got["memory"]["rss_peak_mb"] >= report.memory["rss_peak_mb"] > 100


def test_peaks_are_reset_after_the_load_and_read_once(llama, monkeypatch):
    """Every GPU of the run: read, then reset; reset, pass, read (P02, P03)."""
    log = []
    monkeypatch.setattr(loading, "gpus", lambda model: [0, 1])
    monkeypatch.setattr(loading, "allocated_bytes", lambda: 500_000)
    for name, size in (
        ("synchronize", 0),
        ("reset_peak_memory_stats", 0),
        ("max_memory_allocated", 5_000_000),
        ("memory_allocated", 1_000_000),
    ):

        def noted(gpu, name=name, size=size):
            log.append(name)
            return size + gpu * 1_000_000

        monkeypatch.setattr(torch.cuda, name, noted)
    made, report = loaded(llama)
    assert [name for name, _ in groupby(log)] == [
        "synchronize",
        "memory_allocated",
        "max_memory_allocated",
        "reset_peak_memory_stats",
    ]
    assert report.memory["model_mb"] == 2.5
    assert report.memory["load_peak_mb"] == 10.5
    log.clear()
    got = one_pass(made, prompts_of(4), output_tokens=2)
    assert [(name, len(list(each))) for name, each in groupby(log)] == [
        ("reset_peak_memory_stats", 2),
        ("synchronize", 4),
        ("max_memory_allocated", 2),
    ]
    assert got["memory"]["inference_peak_mb"] == 11.0


def test_versions_are_the_librarys_own(engine):
    """The engine's version is transformers', torch's is among the packages (B10)."""
    assert engine.version() == transformers.__version__
    packages = engine.packages()
    assert packages["torch"] == torch.__version__
    assert all(isinstance(each, str) for each in packages.values())


def test_text_goes_in_and_comes_out(engine):
    """Tokens are those of the tokenizer; special ones are left out of texts."""
    ids = engine.tokenize(["Grüße", "x"])
    assert ids == [list("Grüße".encode()), [120]]
    assert engine.detokenize([[*ids[0], 257], [120]]) == ["Grüße", "x"]


def test_an_engine_can_load_again_after_unloading(llama):
    """Unloading drops the model; a second load works and a third replaces it."""
    made, _ = loaded(llama)
    made.unload()
    assert made._model is None
    made.unload()
    made.load(on_cpu(llama))
    report = made.load(on_cpu(llama, precision="bfloat16"))
    assert report.effective["dtype"] == "bfloat16"
    assert math.isfinite(report.duration_s)
    assert report.duration_s > 0


def test_loading_is_quiet(llama):
    """Neither progress bars nor warnings of the library reach the log."""
    code = (
        "from pytest_lem.engines.transformers.engine import TransformersEngine\n"
        f"TransformersEngine().load({on_cpu(llama)!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_temperature_of_zero_is_greedy_whatever_else_says_to_sample():
    """The library knows no such temperature: it is not given one."""
    decoder = {"temperature": 0.0, "do_sample": True}
    options = GenerateOptions(output_tokens=3, decoder=decoder)
    found = room.generation_config(options, {}, pad=0)
    assert (found.do_sample, found.temperature) == (False, None)


def test_a_batch_runs_on_where_its_requests_are_over_their_limit(stopping):
    """All tokens are there; that the request took too long is said afterwards."""
    asked = {"min_output_tokens": 12, "request_timeout_s": 1e-6, "batch_size": 5}
    got = one_pass(stopping, prompts_of(*LENGTHS), **asked)
    options = GenerateOptions(output_tokens=12, **asked)
    for one in got["completions"]:
        late = judged(one, options)
        assert (late.outcome, late.output_tokens) == ("timeout", 12)


def test_whole_batches_before_a_failure_are_told(stopping):
    """Of the one that broke off nothing but that is known."""
    asked = GenerateOptions(output_tokens=4, min_output_tokens=4, batch_size=2)
    batches = stopping.prepare(prompts_of(3, 5, 4), asked)
    outcomes = [stopping.run(batches[0], asked)]
    done = stopping.salvage(batches, outcomes, [(1, 2), (3, 9)], asked, "it broke")
    assert [one.outcome for one in done] == ["completed", "completed", "engine_error"]
    assert [one.output_tokens for one in done] == [4, 4, 0]
    assert (done[2].input_tokens, done[2].ended_ns, done[2].error) == (4, 9, "it broke")
