"""Prompts, loads and passes as messages carry them, each way side by side.

Numbers in bulk (token ids, stamps) travel as arrays, the rest as plain JSON values.
Standard library only.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from pytest_lem.analysis.flops import Work
from pytest_lem.engines import Completion, Generation, Loaded
from pytest_lem.worker.protocol import TYPECODE, Arrays, ProtocolError

_WHOLE = ("completed", None)


def pack_ragged(name: str, rows: Iterable[Sequence[int]]) -> Arrays:
    """Lists of unequal lengths as two arrays: all numbers, and each list's length."""
    rows = list(rows)
    return {
        name: array(TYPECODE, chain.from_iterable(rows)),
        f"{name}_lengths": array(TYPECODE, map(len, rows)),
    }


def unpack_ragged(name: str, arrays: Arrays) -> list[list[int]]:
    """The lists as `pack_ragged` took them; ProtocolError where lengths disagree."""
    numbers, lengths = arrays[name].tolist(), arrays[f"{name}_lengths"]
    if sum(lengths) != len(numbers) or any(n < 0 for n in lengths):
        msg = f"the lengths of {name!r} do not add up to its {len(numbers)} numbers"
        raise ProtocolError(msg)
    rows, start = [], 0
    for length in lengths:
        rows.append(numbers[start : start + length])
        start += length
    return rows


def pack_logs(rows: Iterable[Iterable[float]]) -> list[list[float | None]]:
    """Logarithms of each row, None for that of nothing: JSON has no infinity."""
    return [[one if math.isfinite(one) else None for one in row] for row in rows]


def unpack_logs(told: Iterable[Iterable[float | None]]) -> list[list[float]]:
    """The logarithms as `pack_logs` took them."""
    return [[-math.inf if one is None else one for one in row] for row in told]


def pack_loaded(loaded: Loaded) -> dict[str, Any]:
    """What a load reports, as plain values."""
    return {name: getattr(loaded, name) for name in Loaded.__slots__}


def unpack_loaded(body: Mapping[str, Any]) -> Loaded:
    """What a load reports, as `pack_loaded` wrote it."""
    return Loaded(**body)


def pack_generation(generation: Generation) -> tuple[dict[str, Any], Arrays]:
    """One pass as plain values, and its tokens and stamps as arrays."""
    done = generation.completions
    body = {
        "start_ns": generation.start_ns,
        "end_ns": generation.end_ns,
        "batches": generation.batches,
        "padding_tokens": generation.padding_tokens,
        "memory": generation.memory,
        "native": generation.native,
        "work": generation.work,
        "padding_told": generation.padding_told,
        "finish_reasons": [one.finish_reason for one in done],
        "failed": [
            [place, one.outcome, one.error]
            for place, one in enumerate(done)
            if one.outcome != "completed"
        ],
    }
    arrays = {
        "input_tokens": array(TYPECODE, (one.input_tokens for one in done)),
        "sent_ns": array(TYPECODE, (one.sent_ns for one in done)),
        "ended_ns": array(TYPECODE, (one.ended_ns for one in done)),
        "texts": array(TYPECODE, (one.texts for one in done)),
        "due_ns": array(TYPECODE, generation.due_ns),
        **pack_ragged("output_ids", (one.output_ids for one in done)),
        **pack_ragged("token_ns", (one.token_ns for one in done)),
    }
    return body, arrays


def unpack_generation(body: Mapping[str, Any], arrays: Arrays) -> Generation:
    """The pass as `pack_generation` wrote it."""
    rest = {**body, "work": unpack_work(body["work"])}
    ends = {place: how for place, *how in rest.pop("failed")}
    columns = zip(
        arrays["input_tokens"],
        unpack_ragged("output_ids", arrays),
        rest.pop("finish_reasons"),
        arrays["sent_ns"],
        arrays["ended_ns"],
        unpack_ragged("token_ns", arrays),
        arrays["texts"],
        strict=True,
    )
    names = Completion.__slots__
    done = [
        Completion(**dict(zip(names, (*row, *ends.get(place, _WHOLE)), strict=True)))
        for place, row in enumerate(columns)
    ]
    return Generation(completions=done, due_ns=arrays["due_ns"].tolist(), **rest)


def unpack_work(told: Sequence[Sequence[Any]] | None) -> list[Work] | None:
    """Forward calls as JSON carries them."""
    return None if told is None else [Work(*one) for one in told]
