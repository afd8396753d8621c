"""The real vLLM with a tiny Llama on the CPU, its core in the process of the tests."""

import gc
import importlib.util
import os

import pytest

from tests.engines.driving import spec

if importlib.util.find_spec("vllm"):
    os.environ["HF_HUB_OFFLINE"] = "1"  # what is looked for there is not needed
    # Or each session of pytester's, whose home is empty, would look at models anew.
    os.environ.setdefault("VLLM_CACHE_ROOT", os.path.expanduser("~/.cache/vllm"))

SMALL = {"enforce_eager": True, "kv_cache_memory_bytes": 2**24, "block_size": 32}
"""What makes a start short: no compiler, and a cache of 16 MiB."""


@pytest.fixture(scope="session")
def spec_of(llama):
    """The spec of the tiny model with a section, as the laboratory sends it."""

    def made(*, strict=False, **changes):
        own = {
            "model",
            "weights",
            "weights_seed",
            "revision",
            "precision",
            "adapter",
            "streams",
            "trust_remote_code",
            "gpus_expected",
        }
        section = {key: value for key, value in changes.items() if key not in own}
        rest = {key: changes[key] for key in own & {*changes}}
        return {**spec(llama, engine=section, strict=strict), **rest}

    return made


@pytest.fixture(scope="session")
def freeze():
    """Call it before a start: what libraries hold for good is not looked through.

    vLLM collects garbage eight times in the life of an engine, and at its end would
    thaw what was frozen.
    """
    real, thaw = gc.freeze, gc.unfreeze
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "freeze", lambda: None)
        patch.setattr(gc, "unfreeze", lambda: None)
        yield real
    thaw()


@pytest.fixture(scope="module")
def start(spec_of, freeze):
    """Start vLLM with a section: the engine, and what the load reported.

    One at a time: a start ends the one before.
    """
    pytest.importorskip("vllm")
    from pytest_lem.engines.vllm.engine import VllmEngine

    made = []

    def started(**section):
        while made:
            made.pop().unload()
        freeze()
        engine = VllmEngine()
        made.append(engine)
        return engine, engine.load(spec_of(**{**SMALL, **section}))

    yield started
    while made:
        made.pop().unload()


@pytest.fixture(scope="module")
def engine(start):
    """One engine for all tests of a module that need no other."""
    return start(max_num_seqs=4)[0]


@pytest.fixture(scope="module")
def adapters(llama, tmp_path_factory):
    """Two adapters of two ranks, with weights that are large enough to tell."""
    peft = pytest.importorskip("peft")
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("lora")
    made = {}
    for seed, (name, rank) in enumerate({"law": 4, "code": 12}.items()):
        base = transformers.AutoModelForCausalLM.from_pretrained(llama)
        torch.manual_seed(seed)
        config = peft.LoraConfig(
            r=rank, target_modules=["q_proj", "v_proj"], init_lora_weights=False
        )
        peft.get_peft_model(base, config).save_pretrained(folder / name)
        made[name] = str(folder / name)
    return made


@pytest.fixture(scope="module")
def alone(llama, adapters):
    """What transformers and PEFT generate with an adapter merged into the weights."""
    peft = pytest.importorskip("peft")
    import torch
    import transformers

    def generate(name, row, count, **changes):
        base = transformers.AutoModelForCausalLM.from_pretrained(llama)
        model = peft.PeftModel.from_pretrained(base, adapters[name]).merge_and_unload()
        ids = torch.tensor([row])
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            pad_token_id=258,
            **changes,
        )
        return out[0, len(row) :].tolist()

    return generate
