"""The real transformers library with a tiny Llama on the CPU."""

import gc
import shutil
from pathlib import Path

import pytest

from pytest_lem.workload import models
from tests.engines.driving import one_pass, prompts_of, spec


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    """Directory of the tiny checkpoint."""
    cache = tmp_path_factory.mktemp("llama")
    model = models.resolve(
        "synthetic:llama-tiny", backend="transformers", cache_dir=cache
    )
    return Path(model.path)


@pytest.fixture(scope="session")
def bare(llama):
    """What the library alone generates from one prompt, without batch and pads."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(llama, dtype="float32")

    def generate(row, count):
        ids = torch.tensor([row])
        config = transformers.GenerationConfig(
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            pad_token_id=258,
        )
        with torch.inference_mode():
            out = model.generate(
                ids, attention_mask=torch.ones_like(ids), generation_config=config
            )
        return out[0, len(row) :].tolist()

    return generate


@pytest.fixture(scope="session")
def directly(llama):
    """Log-probabilities of a row's tokens but the first, by the library alone."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(llama, dtype="float32")

    def told(row):
        ids = torch.tensor([row])
        with torch.inference_mode():
            logits = model(ids).logits[0, :-1]
        return torch.log_softmax(logits, -1)[range(len(row) - 1), ids[0, 1:]].tolist()

    return told


@pytest.fixture(scope="module")
def load(llama):
    """Load the tiny model with a section: the engine, and what the load reported."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from pytest_lem.engines.transformers.engine import TransformersEngine

    gc.freeze()  # what libraries hold for good would be looked through at every load
    made = []

    def loaded(*, strict=False, adapter=None, model=llama, **section):
        engine = TransformersEngine()
        made.append(engine)
        section = {"device": "cpu", **section}
        asked = spec(model, engine=section, strict=strict, adapter=adapter)
        return engine, engine.load(asked)

    yield loaded
    for engine in made:
        engine.unload()
    gc.unfreeze()


pytest.register_assert_rewrite("tests.engines.contract")

COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.fixture
def on_hub(tmp_path, monkeypatch):
    """Have a directory in the hub's cache as `owner/name`, tag `v1`; its commit."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    from pytest_lem.workload.adapters import located

    def put(folder, name):
        home = tmp_path / f"models--{name.replace('/', '--')}"
        shutil.copytree(folder, home / "snapshots" / COMMIT)
        (home / "refs").mkdir()
        (home / "refs" / "v1").write_text(COMMIT)
        return COMMIT

    yield put
    located.cache_clear()


@pytest.fixture(scope="session")
def ask():
    """One pass of a forced length."""

    def asked(engine, rows, *, count=12, **changes):
        forced = {"output_tokens": count, "min_output_tokens": count, **changes}
        return one_pass(engine, rows, **forced)

    return asked


@pytest.fixture(scope="session")
def rows():
    """Prompts of given lengths, none the beginning of another."""
    return prompts_of
