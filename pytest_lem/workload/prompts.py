"""What the requests say: token ids of exact length, or texts from a file."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pytest_lem.errors import ConfigError

RECIPE_VERSION = 1

# Strides of the number that names a request. They are prime, so that requests a window
# or a cycle apart seldom open with the same token, whatever the vocabulary's size.
_REQUESTS = 16_777_213
_WINDOWS = 65_521
_CYCLES = 65_521

Prompt = TypeVar("Prompt")


def synthetic(
    count: int,
    *,
    input_tokens: int | Sequence[int],
    vocab_size: int,
    seed: int,
    cycle: int,
    window: int,
    first: int = 0,
    shared: int = 0,
    reserved: frozenset[int] = frozenset(),
) -> list[list[int]]:
    """Prompts of exactly `input_tokens` ids below `vocab_size`, none `reserved`.

    `input_tokens` is one length for all, or that of each. All begin with the same
    `shared` tokens, in all windows and cycles; all that follows is of what comes after.

    Request `first + i` of a window is always the same prompt, on every platform. Each
    opens with a nonce: (cycle, window, request) as one number, scrambled by the seed
    without collisions and written in base V, where V counts the ids allowed. The nonce
    takes the 4 to 8 tokens that 2**56 needs in that base (more below 128 ids); no two
    prompts of one seed have the same, so no two share a longer prefix, and any V
    consecutive requests of a window differ in their very first token. A prompt too
    short for its nonce holds the first part of it: then prompts of one window still
    differ as long as there are no more than V**input_tokens of them.

    Windows count from 0; warm-up passes use -1, -2, ... The text after the nonce also
    depends on `input_tokens`, so a prompt never begins with a shorter one.
    """
    lengths = [input_tokens] * count if isinstance(input_tokens, int) else input_tokens
    least = min(lengths, default=1)
    if shared and least <= shared:
        msg = f"a prompt of {least} tokens has none beside the {shared} shared ones"
        raise ConfigError(msg)
    _check(count, input_tokens=least, cycle=cycle, window=window, first=first)
    allowed = [token for token in range(vocab_size) if token not in reserved]
    size = len(allowed)
    if size < 2:
        msg = (
            f"synthetic prompts need at least 2 ids: vocab_size {vocab_size} has {size}"
            " that are not reserved"
        )
        raise ConfigError(msg)
    digits = _digits(size)
    multiplier, offset = _scramble(seed, size, size**digits)
    start = (cycle * _WINDOWS + window % _WINDOWS) * _REQUESTS + first
    prompts = []
    common = [allowed[word * size >> 32] for word in _words(f"{seed}:shared", shared)]
    for number, whole in enumerate(lengths, start):
        length = whole - shared
        mixed = (multiplier * number + offset) % size**digits
        nonce = [mixed // size**place % size for place in range(digits)]
        words = _words(f"{seed}:{number}:{length}", length - digits)
        body = [allowed[word * size >> 32] for word in words]
        own = [allowed[digit] for digit in nonce[:length]] + body
        prompts.append([*common, *own])
    return prompts


def read_text(path: str | Path) -> str:
    """A file's UTF-8 text; raises ConfigError where there is none."""
    try:
        data = Path(path).expanduser().read_bytes()
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"file {path} is not UTF-8 text: byte {error.start} cannot be read"
        raise ConfigError(msg) from error
    except OSError as error:
        msg = f"file {path} cannot be read: {error.strerror or error}"
        raise ConfigError(msg) from error
    if "\0" in text:
        msg = f"file {path} is not text: it holds a NUL character"
        raise ConfigError(msg)
    return text


def read_lines(path: str | Path) -> list[str]:
    """Prompts of a UTF-8 file, one a line; blank lines are skipped."""
    lines = [line for line in read_text(path).split("\n") if line.strip()]
    if not lines:
        msg = f"file {path} is empty: write one prompt a line"
        raise ConfigError(msg)
    return [line.removesuffix("\r") for line in lines]


def take(prompts: Sequence[Prompt], count: int, start: int = 0) -> list[Prompt]:
    """`count` prompts from place `start` on; after the last comes the first again."""
    if not prompts:
        msg = f"{count} prompts were asked for and the list has none"
        raise ConfigError(msg)
    return [prompts[(start + place) % len(prompts)] for place in range(count)]


def recipe_sha256(recipe: Mapping[str, Any]) -> str:
    """Hash of how prompts are made: plain values, whatever their order.

    Equal hashes mean equal prompts for equal cycle, window and request.
    """
    plain = {"version": RECIPE_VERSION, **recipe}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def token_sha256(prompts: Sequence[Sequence[int]]) -> str:
    """Hash of token ids in order; where a prompt ends is part of it."""
    digest = hashlib.sha256()
    for prompt in prompts:
        digest.update(len(prompt).to_bytes(8, "little"))
        digest.update(little_endian(array("Q", prompt)).tobytes())
    return digest.hexdigest()


def _check(
    count: int, *, input_tokens: int, cycle: int, window: int, first: int
) -> None:
    """Refuse numbers outside the ranges in which a nonce is unique."""
    half = _WINDOWS // 2
    for name, value, low, high in (
        ("count", count, 0, _REQUESTS),
        ("input_tokens", input_tokens, 1, sys.maxsize),
        ("cycle", cycle, 0, _CYCLES - 1),
        ("window", window, -half, half),
        ("first", first, 0, _REQUESTS - count),
    ):
        if not low <= value <= high:
            msg = (
                f"synthetic prompts: {name} is {value}, it must be from {low} to {high}"
            )
            raise ConfigError(msg)


def _digits(size: int) -> int:
    """How many digits of base `size` every request of an experiment needs."""
    digits, reach = 1, size
    while reach < _CYCLES * _WINDOWS * _REQUESTS:
        digits, reach = digits + 1, reach * size
    return digits


def _scramble(seed: int, size: int, modulus: int) -> tuple[int, int]:
    """Multiplier and offset of a one-to-one map of `range(modulus)`, from the seed."""
    drawn = hashlib.shake_256(f"nonce:{seed}:{size}".encode()).digest(64)
    multiplier = int.from_bytes(drawn[:32], "little") % modulus
    while math.gcd(multiplier, size) != 1:
        multiplier += 1
    return multiplier, int.from_bytes(drawn[32:], "little") % modulus


def _words(key: str, count: int) -> array[int]:
    """`count` 32-bit words that follow from the key (SHAKE-256), none if negative."""
    drawn = hashlib.shake_256(f"prompt:{key}".encode()).digest(4 * max(0, count))
    return little_endian(array("I", drawn))


def little_endian(words: array[int]) -> array[int]:
    """The same words where bytes are read in little-endian order."""
    if sys.byteorder == "big":
        words.byteswap()
    return words


def _plain(value: Any) -> Any:
    """Sets as sorted lists; anything else has no place in a recipe."""
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    msg = f"a recipe holds plain values, not {type(value).__name__}"
    raise TypeError(msg)
