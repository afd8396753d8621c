"""Writes a model directory from nothing: config, byte-level tokenizer, random weights.

Everything follows from the name, the configuration and the seed, byte for byte, on any
platform and with any version of numpy; torch is not needed.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError

FORMAT_VERSION = 1

_BYTES = 256
_SPECIAL = {"bos": "<|begin|>", "eos": "<|end|>", "pad": "<|pad|>"}
_SPECIAL_IDS = {f"{role}_token_id": _BYTES + n for n, role in enumerate(_SPECIAL)}
_MANIFEST = "manifest.json"
_MAX_HEADER = 100_000_000


def config(shape: Mapping[str, Any]) -> dict[str, Any]:
    """The config.json of a shape, with the special ids of our tokenizer."""
    return {**shape, **_SPECIAL_IDS}


def write(
    root: Path, *, name: str, config: Mapping[str, Any], seed: int, weights: bool
) -> Path:
    """The model's directory under `root`, written if it is not there or is damaged.

    Several processes may do so at once: a directory appears whole by one rename, and a
    damaged file is replaced whole.
    """
    recipe = _json([FORMAT_VERSION, config, seed, weights])
    folder = root / f"{name}-seed{seed}-{hashlib.sha256(recipe).hexdigest()[:8]}"
    if _intact(folder):
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=root))
        try:
            _fill(made, config=config, seed=seed, weights=weights)
            _put(made, folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        msg = (
            f"synthetic model {name} cannot be written to {folder}: "
            f"{error.strerror or error}; set LEM_CACHE_DIR to a writable directory"
        )
        raise ConfigError(msg) from error
    return folder


def header(path: Path) -> bytes:
    """The header of a safetensors file: names, types, shapes and places as JSON."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return file.read(min(size, _MAX_HEADER))


def _intact(folder: Path) -> bool:
    """Whether every file has the hash that the manifest states."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
        return bool(manifest) and all(
            hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256
            for name, sha256 in manifest.items()
        )
    except (OSError, ValueError, AttributeError):
        return False


def _fill(folder: Path, *, config: Mapping[str, Any], seed: int, weights: bool) -> None:
    """Write every file of the model into an empty directory, the manifest last."""
    folder.chmod(0o755)
    files = {
        "config.json": _json(config),
        "generation_config.json": _json({**_SPECIAL_IDS, "do_sample": False}),
        "tokenizer.json": _json(_tokenizer(config["vocab_size"])),
        "tokenizer_config.json": _json(_tokenizer_config(config)),
    }
    if weights:
        files["model.safetensors"] = _safetensors(config, seed)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    for name, data in {**files, _MANIFEST: _json(hashes)}.items():
        (folder / name).write_bytes(data)


def _put(made: Path, folder: Path) -> None:
    """Give a finished directory its name, or mend the one that already has it."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        if not _intact(folder):
            for file in made.iterdir():
                file.replace(folder / file.name)


def _json(value: Any) -> bytes:
    """Readable JSON that ends with a newline."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _tokenizer(vocab_size: int) -> dict[str, Any]:
    """A byte-level BPE without merges: one id for each byte.

    Special tokens follow the bytes, then names that no text reaches, so that every id
    below `vocab_size` can be turned into text.
    """
    vocab = {_byte_symbol(byte): byte for byte in range(_BYTES)}
    vocab |= {text: _BYTES + n for n, text in enumerate(_SPECIAL.values())}
    vocab |= {f"<|{token}|>": token for token in range(len(vocab), vocab_size)}
    plain = {"single_word": False, "lstrip": False, "rstrip": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": vocab[text], "content": text, **plain}
            | {"normalized": False, "special": True}
            for text in _SPECIAL.values()
        ],
        "normalizer": None,
        "pre_tokenizer": {**byte_level, "trim_offsets": True},
        "post_processor": None,
        "decoder": {**byte_level, "trim_offsets": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [],
        },
    }


def _byte_symbol(byte: int) -> str:
    """The character for a byte in the byte-level alphabet that GPT-2 introduced."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    if byte in printable:
        return chr(byte)
    others = [value for value in range(_BYTES) if value not in printable]
    return chr(_BYTES + others.index(byte))


def _tokenizer_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What names the tokenizer's class and its special tokens."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config["max_position_embeddings"],
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
        **{f"{role}_token": text for role, text in _SPECIAL.items()},
    }


def _safetensors(config: Mapping[str, Any], seed: int) -> bytes:
    """The weights as a safetensors file: 8 bytes of length, a JSON header, the data."""
    places: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data, end = [], 0
    for name, shape in _llama_tensors(config):
        raw = _tensor(name, shape, seed=seed, std=config["initializer_range"])
        places[name] = {
            "dtype": "F32",
            "shape": list(shape),
            "data_offsets": [end, end + len(raw)],
        }
        end += len(raw)
        data.append(raw)
    head = json.dumps(places, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + b"".join(data)


def _llama_tensors(
    config: Mapping[str, Any],
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of each tensor of a Llama whose output shares the embedding."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden)
    for layer in range(config["num_hidden_layers"]):
        for part, shape in (
            ("input_layernorm", (hidden,)),
            ("self_attn.q_proj", (queries, hidden)),
            ("self_attn.k_proj", (keys, hidden)),
            ("self_attn.v_proj", (keys, hidden)),
            ("self_attn.o_proj", (hidden, queries)),
            ("post_attention_layernorm", (hidden,)),
            ("mlp.gate_proj", (inner, hidden)),
            ("mlp.up_proj", (inner, hidden)),
            ("mlp.down_proj", (hidden, inner)),
        ):
            yield f"model.layers.{layer}.{part}.weight", shape
    yield "model.norm.weight", (hidden,)


def _tensor(name: str, shape: tuple[int, ...], *, seed: int, std: float) -> bytes:
    """Little-endian float32 values: ones for a norm, else uniform with that `std`.

    24 random bits (SHAKE-256) become a float by a subtraction and one multiplication,
    which IEEE 754 defines to the last bit.
    """
    import numpy as np

    count = math.prod(shape)
    if name.endswith("norm.weight"):
        return np.ones(count, dtype="<f4").tobytes()
    drawn = hashlib.shake_256(f"weights:{seed}:{name}".encode()).digest(4 * count)
    bits = (np.frombuffer(drawn, dtype="<u4") >> 8).astype(np.int32) - 2**23
    scale = np.float32(std * math.sqrt(3) / 2**23)
    return (bits.astype(np.float32) * scale).astype("<f4").tobytes()
