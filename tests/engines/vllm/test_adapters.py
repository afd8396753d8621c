"""LoRA adapters on the real vLLM: one for all requests, or one for each."""

import pytest

pytest.importorskip("vllm")
pytest.importorskip("peft")

from pytest_lem.engines.vllm.adapters import lora_arguments
from pytest_lem.errors import ConfigError, EngineLoadError


@pytest.mark.proves("adapter", "vllm.adapters", "vllm.request_adapters")
def test_each_request_is_computed_with_the_adapter_that_it_names(
    start, ask, rows, bare, alone, adapters
):
    """Both in one batch, and again from the first."""
    names = ["code", "law", "law"]
    engine, loaded = start(adapters=adapters, request_adapters=names, max_num_seqs=4)
    assert engine._llm.llm_engine.list_loras() == {1, 2}  # before the first request
    prompts = rows(5, 9, 7, 8)
    got = ask(engine, prompts, count=6)
    found = [one.output_ids for one in got["completions"]]
    turn = zip([*names, names[0]], prompts, strict=True)
    assert found == [alone(name, row, 6) for name, row in turn]
    assert found[0] != bare(prompts[0], 6)
    timed = ask(engine, prompts, count=6, batch_size=1, stamps=True)
    assert [one.output_ids for one in timed["completions"]] == found
    assert loaded.effective["lora"]["max_loras"] == 2
    assert loaded.effective["lora"]["max_lora_rank"] == 16
    ranks = {name: one["rank"] for name, one in loaded.effective["adapters"].items()}
    assert ranks == {"law": 4, "code": 12}


def test_a_beam_search_keeps_to_the_adapter_of_its_request(
    start, ask, rows, alone, adapters
):
    """All beams of one are computed with it."""
    names = ["code", "law"]
    engine, _ = start(adapters=adapters, request_adapters=names, max_num_seqs=8)
    prompts = rows(5, 9)
    got = ask(engine, prompts, count=6, decoder={"num_beams": 3})
    assert got["native"]["path"] == "LLM.beam_search"
    assert [one.output_ids for one in got["completions"]] == [
        alone(name, row, 6, num_beams=3)
        for name, row in zip(names, prompts, strict=True)
    ]


def test_streamed_requests_are_computed_with_the_adapters_that_they_name(
    start, ask, rows, alone, adapters
):
    """One at a time and together, through AsyncLLM."""
    names = ["code", "law", "law"]
    served = {"in_process": False, "streams": True, "max_num_seqs": 4}
    engine, loaded = start(adapters=adapters, request_adapters=names, **served)
    assert loaded.effective["entry_point"] == "AsyncLLM"
    prompts = rows(5, 9, 7, 8)
    turn = zip([*names, names[0]], prompts, strict=True)
    wanted = [alone(name, row, 6) for name, row in turn]
    for size in (1, 4):
        got = ask(engine, prompts, count=6, batch_size=size, stamps=True)
        assert [one.output_ids for one in got["completions"]] == wanted
        assert all(len(one.token_ns) == 6 for one in got["completions"])


@pytest.mark.parametrize("served", [{}, {"in_process": False, "streams": True}])
def test_an_adapter_that_vllm_cannot_load_fails_the_load(start, adapters, served):
    """And not the first pass, in which vLLM would look at it."""
    told = r"adapter '.*code' cannot be loaded: .*rank 12 is greater than"
    with pytest.raises(EngineLoadError, match=told) as caught:
        start(adapter=adapters["code"], max_lora_rank=8, **served)
    assert "\n" not in caught.value.message


def test_requests_without_an_adapter_beside_others_are_refused_on_cpus(start, adapters):
    """There vLLM 0.32.0 computes them with an adapter as well: wrong tokens."""
    with pytest.raises(ConfigError, match="those without"):
        start(adapters=adapters, request_adapters=["law", None])


def test_there_is_room_for_all_adapters_unless_told_otherwise(adapters):
    """A section says less; a single adapter is a case of several."""
    made = lora_arguments({"engine": {"adapters": adapters}}, {}, gpus=0)
    assert made == {"enable_lora": True, "max_loras": 2, "max_lora_rank": 16}
    one = lora_arguments({"engine": {}, "adapter": adapters["law"]}, {}, gpus=0)
    assert one == {"enable_lora": True, "max_loras": 1, "max_lora_rank": 8}
    mixed = {"adapters": adapters, "request_adapters": ["law", None]}
    assert lora_arguments({"engine": mixed}, {}, gpus=1) == made
    assert lora_arguments({"engine": {}}, {}, gpus=0) == {}
    wide = {"engine": mixed, "precision": "float32"}
    with pytest.raises(ConfigError, match="in float16 or bfloat16"):
        lora_arguments(wide, {}, gpus=1)
    assert lora_arguments(wide, {"lora_dtype": "bfloat16"}, gpus=1) == made
