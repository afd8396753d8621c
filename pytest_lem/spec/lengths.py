"""How long requests are: fixed, drawn from a distribution, or from a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["fixed", "uniform", "normal", "lognormal", "file", "trace"]

PAIRED = "paired"
"""For lengths out: those of the row that a request's length in was taken from."""

_NEEDS: dict[str, tuple[str, ...]] = {
    "uniform": ("low", "high"),
    "normal": ("mean", "std"),
    "lognormal": ("mean", "std"),
}
_NAMES = ("low", "high", "mean", "std")
_NARROWEST = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """A distribution of lengths in tokens, none of them below low or above high.

    `mean` and `std` are those of the lengths before they are limited, of the lognormal
    too. `path` is the file that `file` draws rows of, and of whose rows `trace` takes
    one after another.
    """

    kind: Kind
    low: int = 1
    high: int | None = None
    mean: float = 0.0
    std: float = 0.0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Lengths:
        """From `uniform:low=64,high=512`, say; raises ValueError with the reason."""
        kind, _, rest = text.partition(":")
        if kind not in get_args(Kind):
            msg = f"{text!r} is none of {', '.join(examples())}"
            raise ValueError(msg)
        if kind in ("file", "trace"):
            if not rest:
                msg = f"'{kind}:' names no file"
                raise ValueError(msg)
            return cls(kind="file" if kind == "file" else "trace", path=rest)
        if kind == "fixed":
            size = _whole("fixed", rest)
            return cls(kind="fixed", low=size, high=size)
        return cls._drawn(text, kind, rest)

    @classmethod
    def _drawn(cls, text: str, kind: str, rest: str) -> Lengths:
        terms = dict(term.strip().partition("=")[::2] for term in rest.split(","))
        for name in terms:
            if name not in _NAMES or (kind == "uniform" and name in ("mean", "std")):
                msg = f"{text!r}: {name!r} is no part of {kind}"
                raise ValueError(msg)
        for name in _NEEDS[kind]:
            if name not in terms:
                msg = f"{text!r} lacks {name}"
                raise ValueError(msg)
        low = _whole("low", terms.get("low", "1"))
        high = _whole("high", terms["high"]) if "high" in terms else None
        mean, std = (_number(name, terms.get(name, "0")) for name in ("mean", "std"))
        if high is not None and high < low:
            msg = f"{text!r}: high is below low"
            raise ValueError(msg)
        if kind != "uniform":
            _check_reach(text, low, high, mean, std)
        known: Kind = next(one for one in get_args(Kind) if one == kind)
        return cls(kind=known, low=low, high=high, mean=mean, std=std)

    @property
    def read(self) -> bool:
        """Whether a file has them."""
        return self.kind in ("file", "trace")

    def __str__(self) -> str:
        """As it is parsed."""
        if self.read:
            return f"{self.kind}:{self.path}"
        if self.kind == "fixed":
            return f"fixed:{self.low}"
        terms = {"mean": self.mean, "std": self.std} if self.std else {}
        terms |= {"low": self.low}
        terms |= {"high": self.high} if self.high is not None else {}
        return f"{self.kind}:" + ",".join(f"{k}={_plain(v)}" for k, v in terms.items())


def examples() -> tuple[str, ...]:
    """One text of each kind."""
    return (
        "fixed:128",
        "uniform:low=64,high=512",
        "normal:mean=256,std=64",
        "lognormal:mean=256,std=200,high=2048",
        "file:lengths.csv",
        "trace:lengths.csv",
    )


def ends(text: str | None) -> tuple[int | None, int | None]:
    """The shortest and the longest that are drawn; None where only a file knows."""
    if text is None or text == PAIRED:
        return None, None
    how = Lengths.parse(text)
    return (None, None) if how.read else (how.low, how.high)


def check_outputs(tokens: int | None, lengths: str | None, inputs: str | None) -> None:
    """Refuse answers of two lengths or of none, and pairs that no file has.

    Raises ValueError with the reason.
    """
    if lengths is None and tokens is None:
        msg = "output_tokens=None needs output_lengths"
        raise ValueError(msg)
    if lengths is not None and tokens is not None:
        msg = "output_lengths and output_tokens exclude each other: give one of them"
        raise ValueError(msg)
    if lengths == PAIRED and not (inputs and Lengths.parse(inputs).read):
        msg = "output_lengths=paired needs input_lengths of a file: or a trace:"
        raise ValueError(msg)


def _check_reach(
    text: str, low: int, high: int | None, mean: float, std: float
) -> None:
    """Refuse limits between which next to nothing would be drawn."""
    if not std > 0:
        msg = f"{text!r}: std is not above 0"
        raise ValueError(msg)
    if mean < low or (high is not None and mean > high):
        msg = f"{text!r}: mean is not between low and high"
        raise ValueError(msg)
    if high is not None and high - low < _NARROWEST * std:
        msg = f"{text!r}: low and high are too close for that std; say uniform"
        raise ValueError(msg)


def _plain(value: float) -> str:
    return str(int(value) if value == int(value) else value)


def _whole(name: str, text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        msg = f"{name}={text!r} is no whole number of at least 1"
        raise ValueError(msg)
    return int(text)


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value < float("inf"):
        msg = f"{name}={text!r} is no number of at least 0"
        raise ValueError(msg)
    return value
