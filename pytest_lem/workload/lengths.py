"""Lengths of requests, drawn from the seed: the same on every platform."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import lru_cache
from itertools import count as counting

from pytest_lem.errors import ConfigError
from pytest_lem.spec.lengths import Lengths
from pytest_lem.workload.tables import table

COLUMNS = ("input_tokens", "ContextTokens")
"""Where lengths are looked for in a file: our word, then that of Azure's traces."""

_BITS = 64


def drawn(how: Lengths, count: int, seed: int) -> list[int]:
    """The lengths of the first `count` prompts of any window, in tokens.

    Request k has the same length in every window and cycle, so that windows do equal
    work. Of a file each request has a row that the seed chooses. Raises ConfigError for
    a file that cannot be read.
    """
    if how.kind == "file":
        rows = read_lengths(how.path)
        words = (next(_words(f"row:{seed}:{k}")) for k in range(count))
        return [rows[word * len(rows) >> _BITS] for word in words]
    return list(_made(how, count, seed))


def read_lengths(path: str) -> list[int]:
    """The lengths in a table, in its order; raises ConfigError."""
    found = table(path)
    column = next((one for one in COLUMNS if one in found.columns), None)
    if column is None:
        msg = (
            f"file {path} has no column {' or '.join(COLUMNS)}: it has "
            f"{', '.join(found.columns) or 'none'}"
        )
        raise ConfigError(msg)
    lengths = []
    for place, row in found.rows:
        text = str(row.get(column))
        if not text.strip().isdecimal() or int(text) < 1:
            msg = f"file {path}, {place}: {column}={text!r} is no whole number above 0"
            raise ConfigError(msg)
        lengths.append(int(text))
    if not lengths:
        msg = f"file {path} is empty: write one request a row"
        raise ConfigError(msg)
    return lengths


def digest(how: Lengths) -> str:
    """What decides the lengths, whatever a file is called."""
    if how.kind != "file":
        return str(how)
    text = repr(read_lengths(how.path))
    return f"file:{hashlib.sha256(text.encode()).hexdigest()}"


@lru_cache(maxsize=16)
def _made(how: Lengths, count: int, seed: int) -> tuple[int, ...]:
    make = _MAKERS[how.kind]
    # Decimal arithmetic, unlike that of floats, is the same to the last digit anywhere.
    with localcontext(Context(prec=28, rounding=ROUND_HALF_EVEN)):
        return tuple(
            make(how, _words(f"length:input:{seed}:{place}")) for place in range(count)
        )


def _words(key: str) -> Iterator[int]:
    """Words of 64 bits without end, which follow from the key."""
    for block in counting():
        digits = hashlib.sha256(f"{key}:{block}".encode()).digest()
        for start in range(0, len(digits), _BITS // 8):
            yield int.from_bytes(digits[start : start + _BITS // 8], "little")


def _uniform(how: Lengths, words: Iterator[int]) -> int:
    assert how.high is not None
    return how.low + (next(words) * (how.high - how.low + 1) >> _BITS)


def _normal(how: Lengths, words: Iterator[int]) -> int:
    mean, std = Decimal(str(how.mean)), Decimal(str(how.std))
    return _within(how, (mean + std * z for z in _gauss(words)))


def _lognormal(how: Lengths, words: Iterator[int]) -> int:
    mean, std = Decimal(str(how.mean)), Decimal(str(how.std))
    variance = (1 + (std / mean) ** 2).ln()
    middle, sigma = mean.ln() - variance / 2, variance.sqrt()
    return _within(how, ((middle + sigma * z).exp() for z in _gauss(words)))


def _within(how: Lengths, values: Iterator[Decimal]) -> int:
    """The first one within the limits, which are wide enough to be met soon."""
    high = how.high
    lengths = (int(value.to_integral_value()) for value in values)
    return next(n for n in lengths if n >= how.low and (high is None or n <= high))


def _gauss(words: Iterator[int]) -> Iterator[Decimal]:
    """Standard normal numbers, by Marsaglia's polar method."""
    half = Decimal(2 ** (_BITS - 1))
    while True:
        x, y = Decimal(next(words)) / half - 1, Decimal(next(words)) / half - 1
        square = x * x + y * y
        if 0 < square < 1:
            yield x * (-2 * square.ln() / square).sqrt()


_MAKERS: dict[str, Callable[[Lengths, Iterator[int]], int]] = {
    "fixed": _uniform,
    "uniform": _uniform,
    "normal": _normal,
    "lognormal": _lognormal,
}
