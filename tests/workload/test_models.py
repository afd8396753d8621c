"""Models: names resolved, checkpoints made on the spot, hashes for the identity."""

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.workload import checkpoint, models

TINY = "synthetic:llama-tiny"
WEIGHTS = "d6815f986e918ef2aa8b286efc47f05650af16977d02c7a9887dc92c1a13f04e"
TOKENIZER = "8b962593ff6f99eebb796991489c529feb4f5fdc7e0614fc089e18fb2ffea20c"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of its own for the module."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def tiny(cache):
    """The tiny model, written."""
    return models.resolve(TINY, backend="transformers", cache_dir=cache)


def contents(folder):
    """Hash of each file of a directory."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in Path(folder).iterdir()
    }


def test_tiny_is_a_checkpoint_with_every_file_an_engine_reads(tiny):
    """Config, tokenizer and real weights lie in one directory of the cache."""
    assert tiny.synthetic
    assert (tiny.name, tiny.weights, tiny.seed) == (TINY, "checkpoint", 0)
    assert tiny.fingerprint == {"synthetic": "llama-tiny", "seed": 0}
    assert set(contents(tiny.path)) == {
        "config.json",
        "generation_config.json",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert tiny.config == json.loads(Path(tiny.path, "config.json").read_text())


def test_tiny_never_changes(tiny):
    """The weights and tokenizer are pinned, byte for byte, on every platform."""
    files = contents(tiny.path)
    assert files["model.safetensors"] == WEIGHTS
    assert files["tokenizer.json"] == TOKENIZER


def test_equal_seeds_give_equal_bytes_and_others_do_not(tiny, tmp_path):
    """A second cache holds the same files; another seed other weights."""
    again = models.resolve(TINY, backend="vllm", cache_dir=tmp_path)
    assert contents(again.path) == contents(tiny.path)
    other = models.resolve(f"{TINY}@7", backend="vllm", cache_dir=tmp_path)
    assert other.fingerprint == {"synthetic": "llama-tiny", "seed": 7}
    one, two = contents(again.path), contents(other.path)
    assert one["tokenizer.json"] == two["tokenizer.json"]
    assert one["model.safetensors"] != two["model.safetensors"]


def test_the_weights_file_is_what_safetensors_means_by_it(tiny):
    """The library itself reads every tensor, in the shape and spread of the config."""
    numpy = pytest.importorskip("safetensors.numpy")
    tensors = numpy.load_file(Path(tiny.path, "model.safetensors"))
    assert sum(tensor.size for tensor in tensors.values()) == 886_016
    assert tensors["model.layers.1.self_attn.k_proj.weight"].shape == (128, 256)
    values = tensors["model.embed_tokens.weight"]
    assert values.std() == pytest.approx(0.1, rel=0.01)
    assert values.mean() == pytest.approx(0.0, abs=0.001)
    assert (tensors["model.norm.weight"] == 1).all()


def test_the_header_is_aligned(tiny):
    """The data begins at a multiple of eight bytes, as readers expect."""
    data = Path(tiny.path, "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    assert size % 8 == 0
    assert data[8 : 8 + size] == checkpoint.header(Path(tiny.path, "model.safetensors"))


def test_the_tokenizer_is_one_token_for_each_byte(tiny):
    """Any text comes back whole, from the ids of its UTF-8 bytes."""
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny.path)
    text = "  Grüße, 世界!\n\tx\x00\x7f"
    ids = tokenizer(text)["input_ids"]
    assert ids == list(text.encode())
    assert tokenizer.decode(ids) == text
    assert len(tokenizer) == tiny.config["vocab_size"]
    assert tokenizer("<|end|>")["input_ids"] == [tiny.config["eos_token_id"]]
    assert tokenizer.decode([104, 257], skip_special_tokens=True) == "h"
    assert tokenizer.decode([383]) == "<|383|>"


def test_the_model_loads_without_a_missing_or_extra_weight(tiny):
    """The library builds the architecture and finds every weight it wants."""
    transformers = pytest.importorskip("transformers")
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        tiny.path, output_loading_info=True
    )
    assert type(model).__name__ == "LlamaForCausalLM"
    assert not any(info.values()), info
    assert model.config.max_position_embeddings == 4096


@pytest.mark.parametrize("name", models.synthetic_names())
def test_every_shape_has_the_published_number_of_parameters(name, cache):
    """Built without memory, each shape has as many parameters as the real model."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = models.resolve(f"synthetic:{name}", backend="vllm", cache_dir=cache)
    config = transformers.AutoConfig.from_pretrained(model.path)
    with torch.device("meta"):
        built = transformers.AutoModelForCausalLM.from_config(config)
    shape = models._shapes()[name]
    assert built.num_parameters() == shape["parameters"]
    assert type(built).__name__ == shape["config"]["architectures"][0]
    assert (model.weights == "random") == (name != "llama-tiny")


def test_a_shape_is_written_without_weights(cache):
    """Other shapes are configuration and tokenizer; the engine makes the weights."""
    model = models.resolve("synthetic:llama-3.2-1b@3", backend="vllm", cache_dir=cache)
    assert (model.weights, model.seed) == ("random", 3)
    assert not list(Path(model.path).glob("*.safetensors"))
    assert model.config["hidden_size"] == 2048
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(model.path)
    assert len(tokenizer) == 128_256


@pytest.mark.parametrize("damage", ["changed", "cut", "missing", "manifest", "empty"])
def test_a_damaged_entry_is_mended(tiny, tmp_path, damage):
    """Whatever happened to the directory, the next use finds it whole."""
    model = models.resolve(TINY, backend="vllm", cache_dir=tmp_path)
    weights = Path(model.path, "model.safetensors")
    data = weights.read_bytes()
    if damage == "changed":
        weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "cut":
        weights.write_bytes(data[:1000])
    elif damage == "missing":
        weights.unlink()
    elif damage == "manifest":
        Path(model.path, "manifest.json").write_text("[1]")
    else:
        shutil.rmtree(model.path)
        Path(model.path).mkdir()
    again = models.resolve(TINY, backend="vllm", cache_dir=tmp_path)
    assert again.path == model.path
    assert contents(again.path) == contents(tiny.path)
    assert [each.name for each in Path(model.path).parent.iterdir()] == [
        Path(model.path).name
    ]


def test_a_whole_entry_is_left_alone(tiny, cache):
    """A second use writes nothing."""
    before = {file: file.stat().st_mtime_ns for file in Path(tiny.path).iterdir()}
    models.resolve(TINY, backend="transformers", cache_dir=cache)
    assert before == {
        file: file.stat().st_mtime_ns for file in Path(tiny.path).iterdir()
    }


def test_several_processes_write_at_once(tiny, tmp_path):
    """Six processes that start together all get the whole model, one directory."""
    code = (
        "import sys; sys.stdin.readline(); from pathlib import Path; "
        "from pytest_lem.workload import models; m = models.resolve("
        f"{TINY!r}, backend='x', cache_dir=Path({str(tmp_path)!r})); "
        "from pytest_lem.workload.checkpoint import _intact; "
        "assert _intact(Path(m.path)); print(m.path)"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()
    answers = [worker.communicate(timeout=60) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 6, answers
    (path,) = {out.strip() for out, _ in answers}
    assert contents(path) == contents(tiny.path)
    assert len(list(Path(path).parent.iterdir())) == 1


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"LEM_CACHE_DIR": "own", "XDG_CACHE_HOME": "xdg"}, "own/models"),
        ({"XDG_CACHE_HOME": "xdg"}, "xdg/pytest-lem/models"),
        ({"HOME": "home"}, "home/.cache/pytest-lem/models"),
    ],
    ids=["own", "xdg", "home"],
)
def test_the_users_cache_is_where_the_environment_says(
    tmp_path, monkeypatch, variables, place
):
    """LEM_CACHE_DIR, then XDG_CACHE_HOME, then ~/.cache."""
    for name in ("LEM_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in variables.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    model = models.resolve(TINY, backend="vllm")
    assert Path(model.path).parent == tmp_path / place


def test_a_cache_that_cannot_be_written_is_told(tmp_path):
    """The error names the place and the variable that changes it."""
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(ConfigError, match="set LEM_CACHE_DIR") as caught:
        models.resolve(TINY, backend="vllm", cache_dir=blocked)
    assert "\n" not in str(caught.value)


def test_the_fake_engine_needs_no_files(tmp_path):
    """For the fake engine the shape is known and nothing is written."""
    model = models.resolve(TINY, backend="fake", cache_dir=tmp_path)
    assert model.path == TINY
    assert model.config["vocab_size"] == 384
    assert not list(tmp_path.iterdir())


def test_checking_writes_nothing(tmp_path, monkeypatch):
    """A check at collection leaves no trace on the disk."""
    monkeypatch.setenv("LEM_CACHE_DIR", str(tmp_path))
    models.check(TINY)
    models.check("meta-llama/Llama-3.1-8B")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("synthetic:llama-tinny", "did you mean 'synthetic:llama-tiny'?"),
        ("synthetic:Llama-3.2-1B", "did you mean 'synthetic:llama-3.2-1b'?"),
        ("synthetic:", "'synthetic:' is unknown"),
        ("synthetic:../x", "is unknown"),
        ("synthetic:llama-tiny@x", "the seed after @"),
        ("synthetic:llama-tiny@../x", "the seed after @"),
        ("synthetic:llama-tiny@", "the seed after @"),
        ("", "neither a directory"),
        ("two words", "neither a directory"),
        ("a/b/c", "neither a directory"),
        ("owner/", "neither a directory"),
        ("/no/such/model", "config.json does not exist"),
        ("./nothing", "config.json does not exist"),
    ],
)
def test_names_that_cannot_be_are_refused(asked, named):
    """One line says what is wrong and what was meant."""
    with pytest.raises(ConfigError) as caught:
        models.check(asked)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError):
        models.resolve(asked, backend="transformers")


@pytest.mark.parametrize("asked", ["gpt2", "Qwen/Qwen3-0.6B", "a_b/c.d-e"])
def test_hub_ids_are_left_to_the_engine(asked):
    """A hub id goes through unchanged and enters the identity by name."""
    model = models.resolve(asked, backend="vllm")
    assert (model.path, model.synthetic, model.config) == (asked, False, None)
    assert model.fingerprint == {"name": asked}


def test_a_directory_enters_the_identity_by_its_contents(tiny, tmp_path):
    """The same files elsewhere are the same model; a changed part is another."""
    one, two = tmp_path / "one", tmp_path / "two"
    shutil.copytree(tiny.path, one)
    shutil.copytree(tiny.path, two)
    first = models.resolve(str(one), backend="vllm")
    assert not first.synthetic
    assert first.path == str(one)
    assert first.config["model_type"] == "llama"
    assert first.fingerprint == models.resolve(str(two), backend="vllm").fingerprint
    assert all(first.fingerprint.values())
    for file, part in (
        ("config.json", "config_sha256"),
        ("tokenizer.json", "tokenizer_sha256"),
        ("model.safetensors", "weights_sha256"),
    ):
        with (two / file).open("ab") as text:
            text.write(b" ")
        changed = models.resolve(str(two), backend="vllm").fingerprint
        assert changed[part] != first.fingerprint[part]


def test_a_weight_index_stands_for_its_shards(tiny, tmp_path):
    """With an index the shards are not read; a directory without weights has none."""
    folder = tmp_path / "model"
    shutil.copytree(tiny.path, folder)
    index = folder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {}}')
    before = models.directory_sha256(folder)
    (folder / "model.safetensors").write_bytes(b"\0" * 16)
    assert models.directory_sha256(folder) == before
    index.unlink()
    (folder / "model.safetensors").unlink()
    assert models.directory_sha256(folder)["weights_sha256"] is None


def test_relative_and_home_paths_become_absolute(tiny, tmp_path, monkeypatch):
    """An engine in another directory still finds the model."""
    shutil.copytree(tiny.path, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for asked in ("./model", "model", "~/model"):
        found = models.resolve(asked, backend="vllm")
        assert (found.name, found.path) == (asked, str(tmp_path / "model"))


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_a_broken_config_is_refused(tmp_path, text):
    """A config.json that is no JSON object is named."""
    (tmp_path / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=r"config\.json"):
        models.check(str(tmp_path))


def test_nothing_heavy_is_imported(tiny):
    """Checking and resolving an existing model needs neither torch nor numpy."""
    code = (
        "import sys; from pytest_lem.workload import models; "
        f"models.resolve({TINY!r}, backend='vllm'); "
        "assert not {'torch', 'numpy', 'safetensors'} & set(sys.modules)"
    )
    cache = Path(tiny.path).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "LEM_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
