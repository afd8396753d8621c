"""A LoRA adapter on the real library: beside the weights and merged into them."""

import pytest

from pytest_lem.errors import EngineLoadError

peft = pytest.importorskip("peft")


@pytest.fixture(scope="module")
def adapter(llama, tmp_path_factory):
    """An adapter made on the spot, with weights large enough to change tokens."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    base = transformers.AutoModelForCausalLM.from_pretrained(llama, dtype="float32")
    config = peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"
    )
    made = peft.get_peft_model(base, config)
    torch.manual_seed(3)
    with torch.no_grad():
        for name, value in made.named_parameters():
            if "lora_" in name:
                value.normal_(std=0.3)
    folder = tmp_path_factory.mktemp("lora")
    made.save_pretrained(folder)
    return str(folder)


@pytest.mark.proves("adapter", "transformers.merge_adapter")
def test_an_adapter_gives_the_same_tokens_merged_and_not(
    load, ask, rows, bare, adapter
):
    """Others than the model alone; which was measured is said."""
    prompts = rows(5, 9)
    outputs, told = [], []
    for merge in (None, True):
        section = {} if merge is None else {"merge_adapter": merge}
        engine, loaded = load(adapter=adapter, **section)
        got = ask(engine, prompts)
        outputs.append([one.output_ids for one in got["completions"]])
        told.append(loaded.effective["adapter"])
    assert outputs[0] == outputs[1]
    assert outputs[0] != [bare(row, 12) for row in prompts]
    assert [one["merged"] for one in told] == [False, True]
    assert {one["layers"] for one in told} == {4}
    assert {one["rank"] for one in told} == {4}
    assert told[0]["weights_sha256"] == told[1]["weights_sha256"] is not None


def test_an_adapter_that_is_not_there_is_told_in_one_line(load, tmp_path):
    """With its path."""
    with pytest.raises(EngineLoadError) as caught:
        load(adapter=str(tmp_path))
    assert caught.value.message.startswith(f"adapter '{tmp_path}' cannot be loaded")
    assert "\n" not in caught.value.message


def test_an_adapter_of_the_hub_is_that_of_its_revision(load, adapter, on_hub):
    """The record has the commit that a tag meant, and what was in it."""
    commit = on_hub(adapter, "owner/lora")
    here = load(adapter=adapter)[1].effective["adapter"]
    there = load(adapter="owner/lora@v1")[1].effective["adapter"]
    assert (here["revision"], there["revision"]) == (None, commit)
    assert there["path"] == "owner/lora@v1"
    assert {**there, "path": None, "revision": None} == {**here, "path": None}
    with pytest.raises(EngineLoadError, match="'owner/lora@v2' cannot be fetched: Can"):
        load(adapter="owner/lora@v2")


def test_without_an_adapter_there_is_none(load):
    """Nothing is said of one."""
    assert load()[1].effective["adapter"] is None
