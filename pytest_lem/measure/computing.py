"""What a window computed, against what its GPUs could do, and what memory it took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_lem.analysis.architecture import Architecture, NoArchitecture
from pytest_lem.analysis.estimate import (
    Count,
    Estimate,
    Known,
    estimate,
    needed,
    shape_of,
)
from pytest_lem.analysis.flops import (
    Work,
    decode_bytes,
    kv_cache_bytes,
    longest_context,
)
from pytest_lem.analysis.metrics import product, ratio
from pytest_lem.analysis.split import covered_ns
from pytest_lem.engines import Completion, Generation
from pytest_lem.machine.peaks import Peak
from pytest_lem.measure.conditions import Conditions
from pytest_lem.measure.laboratory import Bench
from pytest_lem.measure.window import Pass
from pytest_lem.records.record import Window


@dataclass(slots=True, kw_only=True)
class Watched:
    """What was found when the windows were over; `uncounted` is why no `count`."""

    count: Count | None = None
    uncounted: str = "not_asked_for"
    profile: dict[str, Any] | None = None
    device_used_mb: float | None = None
    process_used_mb: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What the devices of an engine can do together; None, and why, where unknown."""

    flops_per_s: float | None = None
    bytes_per_s: float | None = None
    no_flops: str = ""
    no_bytes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """Bytes that decoding read at the least, and its seconds; None, and why."""

    read_bytes: float | None = None
    duration_s: float | None = None
    unknown: str = ""


def computed(
    window: Window,
    run: Pass,
    bench: Bench,
    conditions: Conditions,
    watched: Watched,
) -> tuple[Window, dict[str, str]]:
    """The window with its operations and its memory, and why what is null is."""
    generation = run.generation
    known = _known(generation, bench, watched)
    nulls = {"flops.precision": "not_reported_by_engine"}
    flops = _operations(conditions.flops, known, window, generation, nulls)
    flops["precision"] = _precision(bench)
    flops |= _utilisation(
        flops["needed"],
        window.duration_s,
        ceiling(bench, conditions.peaks),
        _OFF if conditions.flops == "off" else decoding(known, run),
        nulls,
    )
    told_mb = window.memory.get("kv_cache_read_mb")
    memory = {**window.memory, **_kv_cache(known, watched, told_mb, nulls)}
    missing = [f"flops.{k}" for k, v in flops.items() if v is None and k != "reason"]
    missing += [f"memory.{k}" for k, v in memory.items() if v is None]
    other = "no_device_memory" if bench.devices == {"cpu"} else "not_reported_by_engine"
    reasons = {f"windows.{key}": nulls.get(key, other) for key in missing}
    return window.model_copy(update={"flops": flops, "memory": memory}), reasons


_OFF = Decoding(unknown="off")


def ceiling(bench: Bench, peaks: Mapping[str, Peak]) -> Ceiling:
    """Peak rates of the devices in use, in the precision the engine computes in."""
    devices, precision = bench.loaded.devices, _precision(bench)
    if all(device.startswith("cpu") for device in devices):
        return Ceiling(no_flops="no_peak_for_cpu", no_bytes="no_peak_for_cpu")
    if any(device not in peaks for device in devices):
        reason = "no_peak_for_this_gpu"
        return Ceiling(no_flops=reason, no_bytes=reason)
    found = [peaks[device] for device in devices]
    rates = [one.flops_per_s.get(precision or "") for one in found]
    known = [rate for rate in rates if rate is not None]
    return Ceiling(
        flops_per_s=sum(known) if len(known) == len(rates) else None,
        bytes_per_s=sum(one.bandwidth_bytes_per_s for one in found),
        no_flops="no_peak_for_precision",
    )


def decoding(known: Known, run: Pass) -> Decoding:
    """What was read after the first tokens, and how long that took.

    Of a latency pass the first requests are left out, if each is a batch of its own.
    """
    done, work = run.generation.completions, known.work
    if run.left_out:
        if len(done) != len(work):
            return Decoding(unknown="work_not_told_by_request")
        done, work = done[run.left_out :], work[run.left_out :]
    weights_mb = known.facts.get("decode_weights_mb")
    element_bytes = known.facts.get("kv_cache_element_bytes")
    if weights_mb is None or element_bytes is None or not known.told:
        return Decoding(unknown="not_reported_by_engine")
    try:
        shape = _cached_shape(known)
    except NoArchitecture as reason:
        return Decoding(unknown=str(reason))
    duration_s = _decode_s(done)
    if duration_s is None:
        return Decoding(unknown="no_token_stamps")
    read = decode_bytes(
        shape,
        work,
        weight_bytes=weights_mb * 1e6,
        element_bytes=element_bytes,
    )
    return Decoding(read_bytes=read, duration_s=duration_s, unknown="divisor_is_zero")


def _known(generation: Generation, bench: Bench, watched: Watched) -> Known:
    work = generation.work
    return Known(
        facts=bench.loaded.model,
        config=bench.model.config,
        work=_alone(generation) if work is None else work,
        told=work is not None,
        count=watched.count,
        uncounted=watched.uncounted,
    )


def _operations(
    mode: str,
    known: Known,
    window: Window,
    generation: Generation,
    nulls: dict[str, str],
) -> dict[str, Any]:
    """Operations by kind and per unit, with the method; why none goes to `nulls`."""
    found = estimate(mode, known)
    if found.flops and (window.outcomes or {}).get("without_tokens"):
        why = "failed_without_tokens"
        found = Estimate(flops=None, method=None, confidence=None, reason=why)
    flops = found.flops
    asked = needed(known, _alone(generation)) if flops else None
    total = flops.total if flops else None
    prefill = flops.prefill if flops else None
    decode = flops.decode if flops else None
    block = {
        "total": total,
        "prefill": prefill,
        "decode": decode,
        "needed": asked.total if asked else None,
        "per_output_token": ratio(decode, window.tokens.output),
        "per_input_token": ratio(prefill, window.tokens.input),
        "per_joule": ratio(total, window.energy.gross_j),
        "method": found.method,
        "confidence": found.confidence,
        "reason": found.reason,
        "padding_included": known.told and generation.padding_told if flops else None,
    }
    missing = found.reason or "unknown"
    nulls |= {f"flops.{key}": missing for key in block}
    if flops:
        nulls |= dict.fromkeys(
            ("flops.per_output_token", "flops.per_input_token"), "divisor_is_zero"
        )
        nulls["flops.per_joule"] = "no_energy"
    return block


def _utilisation(
    asked: float | None,
    duration_s: float,
    top: Ceiling,
    decode: Decoding,
    nulls: dict[str, str],
) -> dict[str, float | None]:
    """MFU and MBU with what they are made of; why one is null goes to `nulls`."""
    block = {
        "peak_flops_per_s": top.flops_per_s,
        "mfu": ratio(asked, product(top.flops_per_s, duration_s)),
        "decode_bytes": decode.read_bytes,
        "decode_duration_s": decode.duration_s,
        "peak_bytes_per_s": top.bytes_per_s,
        "mbu": ratio(decode.read_bytes, product(top.bytes_per_s, decode.duration_s)),
    }
    nulls |= {
        "flops.peak_flops_per_s": top.no_flops,
        "flops.mfu": top.no_flops if top.flops_per_s is None else nulls["flops.total"],
        "flops.decode_bytes": decode.unknown,
        "flops.decode_duration_s": decode.unknown,
        "flops.peak_bytes_per_s": top.no_bytes,
        "flops.mbu": top.no_bytes if top.bytes_per_s is None else decode.unknown,
    }
    return block


def _kv_cache(
    known: Known, watched: Watched, told_mb: float | None, nulls: dict[str, str]
) -> dict[str, float | None]:
    """The most that it held, by the closed form and as it was read.

    By the engine itself in the window (`told_mb`), else by the counting pass.
    """
    element_bytes = known.facts.get("kv_cache_element_bytes")
    held_mb = read_mb = None
    nulls["memory.kv_cache_mb"] = "not_reported_by_engine"
    if element_bytes is not None and known.told:
        try:
            shape = _cached_shape(known)
            held_mb = kv_cache_bytes(shape, known.work, element_bytes) / 1e6
        except NoArchitecture as reason:
            nulls["memory.kv_cache_mb"] = str(reason)
    nulls["memory.kv_cache_read_mb"] = watched.uncounted
    if told_mb is not None:
        read_mb = told_mb
    elif watched.count and watched.count.work == known.work:
        read_mb = watched.count.kv_cache_mb
        nulls["memory.kv_cache_read_mb"] = "not_reported_by_engine"
    return {"kv_cache_mb": held_mb, "kv_cache_read_mb": read_mb}


def _cached_shape(known: Known) -> Architecture:
    """The shape, if every layer's cache holds every token; else NoArchitecture."""
    shape = shape_of(known)
    window = shape.sliding_window
    if window is not None and longest_context(known.work) > window:
        raise NoArchitecture("sliding_window")
    return shape


def _decode_s(completions: Sequence[Completion]) -> float | None:
    """Seconds after first tokens, shared ones once; None without stamps."""
    firsts: dict[tuple[int, int], int] = {}
    for one in completions:
        if not one.token_ns:
            return None
        span = (one.sent_ns, one.ended_ns)
        firsts[span] = min(one.token_ns[0], firsts.get(span, one.ended_ns))
    spent_ns = covered_ns((first, ended) for (_, ended), first in firsts.items())
    return spent_ns / 1e9 if firsts else None


def _alone(generation: Generation) -> list[Work]:
    """Each request by itself: no batch, no padding, nothing cached."""
    return [
        Work(rows=1, cached=0, new=one.input_tokens, steps=max(1, one.output_tokens))
        for one in generation.completions
    ]


def _precision(bench: Bench) -> str | None:
    told: str | None = (bench.loaded.effective.get("precision") or {}).get("compute")
    return told
