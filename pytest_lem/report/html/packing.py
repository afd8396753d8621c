"""The details of many experiments in little room, of which a browser reads one.

Values that stand at the same place in several experiments are kept together, those that
are equal once: gzip, which looks back 32 kB, would not find them.
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from gzip import compress
from itertools import chain
from typing import Any

from pytest_lem.report.html.assets import plain
from pytest_lem.report.html.details import details
from pytest_lem.report.html.view import Shown

TOGETHER = 100
MOST_BYTES = 8_000_000
FEWER_DIGITS = 6


def packed(shown: Sequence[Shown]) -> dict[str, str]:
    """What the browser unpacks, by the anchors of the experiments that are in it.

    Where it would be too large, numbers have fewer digits; where it still would be,
    records are left out, and what is told of them stays.
    """
    parts = [shown[k : k + TOGETHER] for k in range(0, len(shown), TOGETHER)]
    for digits, whole in ((None, True), (FEWER_DIGITS, True), (FEWER_DIGITS, False)):
        first = _packed(parts[0], digits, whole=whole) if parts else ""
        if len(first) * len(parts) <= MOST_BYTES:
            break
    anchors = [" ".join(one.anchor for one in some) for some in parts]
    rest = (_packed(some, digits, whole=whole) for some in parts[1:])
    return dict(zip(anchors, chain([first], rest), strict=False))


def _packed(some: Sequence[Shown], digits: int | None, *, whole: bool) -> str:
    told = [details(one) | {"digits": digits} for one in some]
    if not whole:
        told = [one | {"record": None} for one in told]
    return pack(json.dumps(_columns(told, digits), separators=(",", ":")))


def pack(told: str) -> str:
    """JSON, packed by gzip, as text; equal JSON gives equal text."""
    return b64encode(compress(told.encode(), 6, mtime=0)).decode()


def _columns(values: Sequence[Any], digits: int | None) -> Any:
    """The same values, place by place: `=` is equal in all, a list has one of each."""
    first = values[0]
    if isinstance(first, dict) and all(_has_keys(one, first) for one in values):
        parts = [_columns([one[key] for one in values], digits) for key in first]
        if all(_is_one(part) for part in parts):
            return {"=": dict(zip(first, (one["="] for one in parts), strict=True))}
        return {"k": list(first), "v": parts}
    if isinstance(first, list) and all(_has_length(one, first) for one in values):
        parts = [_columns(list(one), digits) for one in zip(*values, strict=True)]
        if all(_is_one(part) for part in parts):
            return {"=": [one["="] for one in parts]}
        return {"l": parts}
    told = plain(list(values), digits)
    return {"=": told[0]} if _all_equal(told) else told


def _all_equal(told: Sequence[Any]) -> bool:
    """Whether one text, number or truth stands for all; 1 is none of the truths."""
    first, kind = told[0], type(told[0])
    if isinstance(first, dict | list):
        return False
    return all(type(one) is kind and one == first for one in told)


def _has_keys(one: Any, first: dict[str, Any]) -> bool:
    return isinstance(one, dict) and list(one) == list(first)


def _has_length(one: Any, first: list[Any]) -> bool:
    return isinstance(one, list) and len(one) == len(first)


def _is_one(part: Any) -> bool:
    return isinstance(part, dict) and "=" in part
