"""What ranks did, as one: late aggregation of their loads and of their passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from pytest_lem.engines import Completion, Generation, Loaded
from pytest_lem.engines.contract import total
from pytest_lem.errors import GenerationError

# Slowest rank over the mean of all: the others wait for a tenth of the window.
UNBALANCED = 1.1

_SECONDS = ("before_s", "in_pass_s")
_COUNTS = ("compilations", "graph_breaks", "graph_recordings", "graph_skips")
_DRAFTS = ("verify_calls", "drafted_tokens", "accepted_tokens")


def dealt(
    prompts: Sequence[Sequence[int]], ranks: int
) -> list[Sequence[Sequence[int]]]:
    """The prompts of each rank, dealt in turn, so that lengths mix."""
    return [prompts[rank::ranks] for rank in range(ranks)]


def one_load(kind: str, parts: Sequence[Loaded], *, gpus: int) -> Loaded:
    """The load of all ranks: done when the last is, and as large as all together.

    `gpus` are those of the run; some may have no rank.
    """
    first = parts[0]
    flags = list(dict.fromkeys(chain.from_iterable(one.flags for one in parts)))
    if gpus > len(parts):
        flags.append("gpus_unused")
    return replace(
        first,
        duration_s=max(one.duration_s for one in parts),
        effective={**first.effective, "ranks": kind, "world_size": len(parts)},
        memory=_sums([one.memory for one in parts]),
        devices=list(dict.fromkeys(chain.from_iterable(one.devices for one in parts))),
        flags=flags,
    )


def of_copies(parts: Mapping[int, Generation], *, ranks: int) -> Generation:
    """One pass of copies that were dealt the prompts; `parts` by rank.

    From the first start to the last end, with all requests in the prompts' order.
    """
    done = list(parts.values())
    completions: list[Completion | None] = [None] * sum(
        len(one.completions) for one in done
    )
    for rank, one in parts.items():
        completions[rank::ranks] = one.completions
    work = [one.work for one in done]
    known = [one for one in work if one is not None]
    return replace(
        done[0],
        start_ns=min(one.start_ns for one in done),
        end_ns=max(one.end_ns for one in done),
        completions=[one for one in completions if one is not None],
        batches=list(chain.from_iterable(one.batches for one in done)),
        padding_tokens=sum(one.padding_tokens for one in done),
        memory=_sums([one.memory for one in done]),
        native=_native(parts, ranks, _of_copies),
        work=list(chain.from_iterable(known)) if len(known) == len(work) else None,
    )


def of_shards(parts: Mapping[int, Generation]) -> Generation:
    """One pass of shards, which all did the same, or it is a GenerationError."""
    first = parts[0]
    told = [one.output_ids for one in first.completions]
    for rank, one in parts.items():
        if [each.output_ids for each in one.completions] != told:
            msg = f"rank {rank} generated other tokens than rank 0 of the same model"
            raise GenerationError(msg)
    return replace(
        first,
        start_ns=min(one.start_ns for one in parts.values()),
        end_ns=max(one.end_ns for one in parts.values()),
        memory=_sums([one.memory for one in parts.values()]),
        native=_native(parts, len(parts), _of_all),
    )


def one_count(counted: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Operations of all copies; the cache is that of the copy which held the most."""
    held = [one["kv_cache_mb"] for one in counted]
    work = [one["work"] for one in counted]
    return {
        "prefill": sum(one["prefill"] for one in counted),
        "decode": sum(one["decode"] for one in counted),
        "work": None if None in work else list(chain.from_iterable(work)),
        "kv_cache_mb": None if None in held else max(held),
    }


def _native(
    parts: Mapping[int, Generation],
    ranks: int,
    together: Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]],
) -> dict[str, Any]:
    """What all ranks tell together, what each rank did, and how unequal that was.

    `of_first_rank` names what nobody can add up: there it is the first rank's alone.
    """
    told = [one.native for one in parts.values()]
    added = together(told)
    rows = [_row(rank, parts.get(rank)) for rank in range(ranks)]
    durations_s = [row["duration_s"] for row in rows]
    mean_s = sum(durations_s) / ranks
    imbalance = max(durations_s) / mean_s if mean_s else 1.0
    flags = dict.fromkeys(flag for one in told for flag in one.get("flags", ()))
    if imbalance > UNBALANCED:
        flags["ranks_unbalanced"] = None
    return {
        **told[0],
        **added,
        "of_first_rank": sorted({*told[0]} - {*added, "flags"}),
        "ranks": rows,
        "imbalance": imbalance,
        "flags": list(flags),
    }


def _of_copies(told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Drafts and steps of all copies: each has requests of its own."""
    found = _of_all(told)
    if "speculation" in told[0]:
        drafts = _sums([one["speculation"] for one in told])
        found["speculation"] = {k: v for k, v in drafts.items() if k in _DRAFTS}
    if "decoding_steps" in told[0]:
        found["decoding_steps"] = [n for one in told for n in one["decoding_steps"]]
    return found


def _of_all(told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What ranks hold and compile for themselves; they compile side by side."""
    found: dict[str, Any] = {}
    if "kept_mb" in told[0]:
        found["kept_mb"] = total([one["kept_mb"] for one in told])
    if "compile" in told[0]:
        parts = [one["compile"] for one in told]
        reasons = [one["fallback"] for one in parts if one["fallback"] is not None]
        found["compile"] = {
            **{key: max(one[key] for one in parts) for key in _SECONDS},
            **{key: sum(one[key] for one in parts) for key in _COUNTS},
            "fallback": reasons[0] if reasons else None,
        }
    return found


def _row(rank: int, one: Generation | None) -> dict[str, Any]:
    """What a rank did; one without requests was idle.

    `batches` and `calls` say how many of all ranks' batches and work are its own.
    """
    done = one.completions if one else []
    return {
        "rank": rank,
        "requests": len(done),
        "input_tokens": sum(each.input_tokens for each in done),
        "output_tokens": sum(each.output_tokens for each in done),
        "padding_tokens": one.padding_tokens if one else 0,
        "batches": len(one.batches) if one else 0,
        "calls": len(one.work or ()) if one else 0,
        "start_s": one.start_ns / 1e9 if one else None,
        "duration_s": one.duration_s if one else 0.0,
        "memory": dict(one.memory) if one else {},
    }


def _sums(told: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Sizes of all ranks together; None where one rank does not know its own."""
    return {name: total([one.get(name) for one in told]) for name in told[0]}
