"""The windows of a run from those of its processes: sums, and times over all."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pytest_lem.analysis.failures import summed
from pytest_lem.analysis.latency import UNSUPPORTED, Stamps, batched, streamed
from pytest_lem.analysis.metrics import product, ratio, total
from pytest_lem.analysis.net import IdleWatts, Net, net_energy
from pytest_lem.analysis.split import covered_ns
from pytest_lem.records.derived import throughput
from pytest_lem.records.raw.files import RawWindow
from pytest_lem.records.raw.reading import Part, Read
from pytest_lem.records.record import Energy, Tokens, Window

NOT_JOINED = "not_aggregated"
_BASES = ("measured", "estimated", "replayed", "synthetic")
_SUMS = ("prefill", "decode", "needed", "peak_flops_per_s")
_OF_WINDOW = ("left_out", "path", "engine_times")
_UNKNOWN = ("decode_bytes", "decode_duration_s", "peak_bytes_per_s", "mbu")


def windows(read: Read, idle: IdleWatts | None) -> Iterator[Window]:
    """Each window of the run, in order; net energy is without `idle`."""
    found: dict[int, list[tuple[Part, RawWindow]]] = {}
    for part in read.parts:
        for window in part.head.windows:
            found.setdefault(window.index, []).append((part, window))
    for index in sorted(found):
        yield _window(read, found[index], idle)


def latency(read: Read, joined: Sequence[Window]) -> dict[str, Any]:
    """Latency over the requests that the metrics of latency are of.

    Those of all latency windows, or of all where there is none, but for warm-up.
    """
    timed = [one for one in joined if one.kind == "latency"]
    counted = timed or joined
    if len(counted) == 1 and counted[0].latency is not None:
        own = counted[0].latency
        return {key: own[key] for key in own if key not in _OF_WINDOW}
    kind = counted[0].kind
    requests = [one for part in read.parts for one in _stamps(part, kind=kind)]
    return streamed(requests) if kind == "latency" else batched(requests)


def _window(
    read: Read, parts: Sequence[tuple[Part, RawWindow]], idle: IdleWatts | None
) -> Window:
    told = [window for _, window in parts]
    first = told[0]
    spans = [
        (one.start_s, one.start_s + one.duration_s)
        for one in told
        if one.start_s is not None
    ]
    start_s = min(start for start, _ in spans)
    duration_s = max(end for _, end in spans) - start_s
    tokens = Tokens(
        input=sum(one.tokens.input for one in told),
        output=sum(one.tokens.output for one in told),
        padding=sum(one.tokens.padding for one in told),
    )
    outcomes = summed([one.outcomes for one in told])
    energy = _energy(parts, duration_s, idle)
    delays = _delays(read, parts)
    flags = dict.fromkeys(flag for one in told for flag in one.flags)
    flags |= dict.fromkeys(one for one in delays["flags"] if one == UNSUPPORTED)
    return Window(
        kind=first.kind,
        index=first.index,
        start_s=start_s,
        duration_s=duration_s,
        inference_s=_covered_s(parts),
        requests=outcomes["sent"],
        batches=[size for one in told for size in one.batches],
        tokens=tokens,
        token_sha256=first.token_sha256,
        energy=energy,
        throughput=throughput(first.kind, tokens, outcomes, duration_s),
        latency=delays,
        phases=None,
        flops=_flops(told, tokens, energy.gross_j, duration_s),
        thermal=None,
        memory={
            name: total(one.memory.get(name) for one in told if one.memory)
            for name in dict.fromkeys(name for one in told for name in one.memory)
        },
        flags=list(flags),
        outcomes=outcomes,
    )


def _energy(
    parts: Sequence[tuple[Part, RawWindow]], duration_s: float, idle: IdleWatts | None
) -> Energy:
    """The sum over the devices of all processes: GPUs, or where none is told the rest.

    It is null where a GPU of a process has no energy, as in a session's own windows.
    """
    rows = [row for _, one in parts for row in one.energy]
    gpus = [row for row in rows if row["scope"] == "gpu"]
    counted = gpus or rows
    bases = {one.basis for _, one in parts if one.basis}
    basis = max(bases, key=_BASES.index, default=None)
    used = {device for part, _ in parts for device in part.head.devices}
    lacking = basis in ("measured", "estimated") and used - {
        row["device"] for row in gpus
    }
    gross_j = None if lacking else total(row["energy_j"] for row in counted)
    widths_j = [row["uncertainty_j"] for row in counted]
    width_j = None
    if gross_j is not None and None not in widths_j:
        width_j = math.hypot(*widths_j)
    net: Net | None = None
    if idle is not None and gross_j is not None:
        net = net_energy(gross_j, width_j, duration_s, idle)
    return Energy(
        gross_j=gross_j,
        net_j=net.energy_j if net else None,
        net_uncertainty_j=net.uncertainty_j if net else None,
        uncertainty_j=width_j,
        cpu_j=total(row["energy_j"] for row in rows if row["scope"] == "cpu"),
        dram_j=total(row["energy_j"] for row in rows if row["scope"] == "dram"),
        per_device=rows,
        scope=[
            scope
            for scope in ("gpu", "cpu", "dram")
            if any(row["scope"] == scope for row in counted)
        ],
        method=_joined(row["method"] for row in counted),
        meter=_joined(row["meter"] for row in counted),
        basis=basis,
        idle_share=net.share if net else None,
        idle_state=idle.state if net and idle else None,
    )


def _flops(
    told: Sequence[RawWindow], tokens: Tokens, gross_j: float | None, duration_s: float
) -> dict[str, Any]:
    """Operations of all requests, and what they are over; a missing part is no sum."""
    # A process without requests did nothing, and its GPU could have done as much.
    prefill, decode, asked, peak = (
        total(one.flops.get(name) for one in told) for name in _SUMS
    )
    whole = None if prefill is None or decode is None else prefill + decode
    known = [one.flops for one in told]
    return {
        "total": whole,
        "prefill": prefill,
        "decode": decode,
        "needed": asked,
        "per_output_token": ratio(decode, tokens.output),
        "per_input_token": ratio(prefill, tokens.input),
        "per_joule": ratio(whole, gross_j),
        "method": _joined(one.get("method") for one in known),
        "confidence": _joined(one.get("confidence") for one in known),
        "reason": _joined(one.get("reason") for one in known),
        "padding_included": _same(one.get("padding_included") for one in known),
        "precision": _same(one.get("precision") for one in known),
        "peak_flops_per_s": peak,
        "mfu": ratio(asked, product(peak, duration_s)),
        **dict.fromkeys(_UNKNOWN),
    }


def _delays(read: Read, parts: Sequence[tuple[Part, RawWindow]]) -> dict[str, Any]:
    first = parts[0][1]
    requests = [one for part, _ in parts for one in _stamps(part, index=first.index)]
    if first.kind == "latency":
        workload = read.run.record.experiments[0].spec["workload"]
        paced = workload["arrivals"] is not None or workload["concurrency"] is not None
        block = streamed(requests, together=paced or len(parts) > 1)
    else:
        block = batched(requests)
    times = dict.fromkeys(("queue_ms", "prefill_ms", "decode_ms"))
    return {
        **block,
        "left_out": sum(one.left_out for _, one in parts),
        "path": None,
        "engine_times": {**times, "reason": NOT_JOINED},
    }


def _stamps(
    part: Part, *, kind: str | None = None, index: int | None = None
) -> Iterator[Stamps]:
    """Requests of a process that are in statistics of latency, as views of arrays."""
    wanted = {
        one.index
        for one in part.head.windows
        if index in (None, one.index) and kind in (None, one.kind)
    }
    chunks = part.rows["token_ns"].chunks
    # To combine them copies all stamps, of which there may be millions.
    tokens = chunks[0] if len(chunks) == 1 else part.rows["token_ns"].combine_chunks()
    ends, stamps = tokens.offsets.to_numpy(), tokens.values.to_numpy()
    columns = ("window", "sent_ns", "ended_ns", "outcome", "left_out")
    rows = zip(*(part.rows[name].to_pylist() for name in columns), strict=True)
    for place, (window, sent_ns, ended_ns, outcome, left_out) in enumerate(rows):
        if window in wanted and not left_out:
            token_ns = stamps[ends[place] : ends[place + 1]]
            yield Stamps(sent_ns, ended_ns, token_ns, outcome != "completed")


def _covered_s(parts: Sequence[tuple[Part, RawWindow]]) -> float:
    spans: list[tuple[int, int]] = []
    for part, window in parts:
        columns = [
            part.rows[name].to_pylist() for name in ("window", "sent_ns", "ended_ns")
        ]
        spans += [
            (s, e) for one, s, e in zip(*columns, strict=True) if one == window.index
        ]
    return covered_ns(spans) / 1e9


def _joined(names: Iterable[str | None]) -> str | None:
    return "+".join(dict.fromkeys(name for name in names if name)) or None


def _same(values: Iterable[Any]) -> Any:
    """What all tell that tell it; None where they differ."""
    told = {one for one in values if one is not None}
    return told.pop() if len(told) == 1 else None
