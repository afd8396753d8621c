"""One measured pass: run it first, cut its energy from the timeline afterwards."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

from pytest_lem.analysis.arrivals import doubts as lateness
from pytest_lem.analysis.bandwidth import least_steps
from pytest_lem.analysis.failures import FLAG
from pytest_lem.analysis.latency import (
    UNSUPPORTED,
    Stamps,
    batched,
    distribution,
    streamed,
)
from pytest_lem.analysis.laws import Account, DeviceEnergy
from pytest_lem.analysis.net import IdleWatts, Net, net_energy
from pytest_lem.analysis.split import covered_ns
from pytest_lem.engines import Generation
from pytest_lem.measure.arriving import arrived
from pytest_lem.measure.attributing import REQUEST_ROWS, attribution
from pytest_lem.measure.failing import outcomes_of, stamps_of
from pytest_lem.measure.phases import cut_of, phases
from pytest_lem.measure.serving import served
from pytest_lem.measure.thermal import thermal, thermal_flags
from pytest_lem.meters.energy import EnergyReading
from pytest_lem.meters.metering import Metering
from pytest_lem.records.derived import throughput
from pytest_lem.records.record import Drafts, Energy, Tokens, Window
from pytest_lem.spec.parameters.arrivals import Arrivals
from pytest_lem.spec.parameters.slo import Slo

HOST_OVERHEAD = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """A pass that has run and is not yet costed.

    `unstamped` is why its tokens have no time stamps, where they have none;
    `tokenise_ms` is what tokenising one of its prompts took; `arrivals` the law by
    which its requests were sent, `concurrency` how many were in flight at once, both
    None where all were sent at once; `slo` what each has to meet.
    """

    kind: Literal["energy", "latency"]
    index: int
    token_sha256: str
    generation: Generation
    left_out: int = 0
    unstamped: str = "no_token_stamps"
    tokenise_ms: float | None = None
    arrivals: Arrivals | None = None
    concurrency: int | None = None
    slo: Slo | None = None

    @property
    def start_s(self) -> float:
        """Start of the window on the monotonic clock."""
        return self.generation.start_ns / 1e9

    @property
    def end_s(self) -> float:
        """End of the window on the monotonic clock."""
        return self.generation.end_ns / 1e9


def cost(
    run: Pass,
    metering: Metering,
    devices: Collection[str],
    idle: IdleWatts | None,
    *,
    request_rows: int = REQUEST_ROWS,
) -> tuple[Window, str | None]:
    """The window's record with the energy between its marks; the reason if none.

    Net energy is without `idle`, and there is none where that is None. Of up to
    `request_rows` requests each is listed with what it is given of the energy.
    """
    generation, duration_s = run.generation, run.generation.duration_s
    reading = metering.energy(run.start_s, run.end_s, devices=devices)
    heat = thermal(
        metering.telemetry(run.start_s, run.end_s, devices=devices),
        duration_s,
        metering.throttle_s(run.start_s, run.end_s, devices=devices),
    )
    inference_s = _inference_s(generation)
    flags = [*reading.flags, *thermal_flags(heat), *generation.native.get("flags", ())]
    outcomes = outcomes_of(generation)
    flags += [FLAG] if outcomes["completed"] < outcomes["sent"] else []
    sent = arrived(run.arrivals, generation, run.left_out, run.concurrency)
    if sent is not None:
        flags += lateness(sent)
    overhead_s = duration_s - inference_s
    if run.arrivals is None and overhead_s > HOST_OVERHEAD * duration_s:
        flags.append("host_overhead")
    # Requests that warm up are in no phase; of the energy they have their share.
    cut = counted = cut_of(generation, metering, devices)
    if run.left_out:
        counted = cut_of(generation, metering, devices, left_out=run.left_out)
    split, doubts = phases(
        counted,
        generation,
        period_s=metering.period_s,
        left_out=run.left_out,
        unstamped=run.unstamped,
    )
    flags += doubts
    if run.kind == "energy" and any(one.token_ns for one in generation.completions):
        flags.append("token_stamped")
    net = None
    if idle is not None and reading.gross_j is not None:
        width_j = reading.uncertainty_j
        net = net_energy(reading.gross_j, width_j, duration_s, idle)
        flags += ["net_clamped"] if net.clamped else []
    latency, counted_tokens = _latency(run), tokens(generation)
    flags += [one for one in latency["flags"] if one == UNSUPPORTED]
    window = Window(
        kind=run.kind,
        index=run.index,
        start_s=run.start_s,
        duration_s=duration_s,
        inference_s=inference_s,
        requests=len(generation.completions),
        batches=generation.batches,
        tokens=counted_tokens,
        token_sha256=run.token_sha256,
        energy=_energy(reading, net, idle),
        throughput=throughput(run.kind, counted_tokens, outcomes, duration_s),
        latency=latency,
        phases=split,
        flops=None,
        thermal=heat,
        memory=generation.memory,
        flags=flags,
        attribution=attribution(generation, reading, cut, rows=request_rows),
        speculation=_drafts(generation),
        scheduler=generation.native.get("scheduler"),
        arrivals=sent,
        goodput=served(run.slo, _all_stamps(run), run.left_out, metering, devices),
        outcomes=outcomes,
    )
    return window, reading.reason


def account(run: Pass, window: Window) -> Account:
    """What a costed pass claims, beside the parts that its claims are sums of."""
    energy = window.energy
    return Account(
        name=f"{window.kind} window {window.index}",
        duration_s=window.duration_s,
        gross_j=energy.gross_j,
        scope=energy.scope,
        devices=[_device_energy(row) for row in energy.per_device],
        requests=window.requests,
        batches=window.batches,
        input_tokens=window.tokens.input,
        output_tokens=window.tokens.output,
        request_tokens=[
            (one.input_tokens, one.output_tokens) for one in run.generation.completions
        ],
        phases=_phase_sums(window),
        least_steps=least_steps(
            [
                (one.sent_ns, one.ended_ns, ceil(one.output_tokens / one.texts))
                for one in run.generation.completions
            ]
        ),
        attributed_j=_attributed_j(window),
    )


def _phase_sums(window: Window) -> list[tuple[float, float | None]]:
    found = window.phases
    if not found or not found["available"]:
        return []
    parts = (found[name] for name in ("prefill", "decode", "other"))
    return [(part["duration_s"], part["energy_j"]) for part in parts]


def _attributed_j(window: Window) -> float | None:
    found = window.attribution or {}
    shares, gross_j = found.get("energy_attributed_j"), window.energy.gross_j
    return None if shares is None or gross_j is None else shares["n"] * shares["mean"]


def tokens(generation: Generation) -> Tokens:
    """Tokens of a pass, as the engine counted them."""
    return Tokens(
        input=sum(one.input_tokens for one in generation.completions),
        output=sum(one.output_tokens for one in generation.completions),
        padding=generation.padding_tokens,
    )


def _drafts(generation: Generation) -> Drafts | None:
    told = generation.native.get("speculation")
    if told is None:
        return None
    return Drafts(**{name: told.get(name) for name in Drafts.model_fields})


def stamps(run: Pass) -> Sequence[Stamps]:
    """The requests' stamps, without the first ones of a latency pass."""
    return _all_stamps(run)[run.left_out :]


def _all_stamps(run: Pass) -> Sequence[Stamps]:
    return [stamps_of(one) for one in run.generation.completions]


def _device_energy(row: Mapping[str, Any]) -> DeviceEnergy:
    return DeviceEnergy(
        device=row["device"],
        scope=row["scope"],
        energy_j=row["energy_j"],
        uncertainty_j=row["uncertainty_j"],
    )


def _energy(reading: EnergyReading, net: Net | None, idle: IdleWatts | None) -> Energy:
    return Energy(
        gross_j=reading.gross_j,
        net_j=net.energy_j if net else None,
        net_uncertainty_j=net.uncertainty_j if net else None,
        uncertainty_j=reading.uncertainty_j,
        cpu_j=reading.cpu_j,
        dram_j=reading.dram_j,
        per_device=list(reading.per_device),
        crosscheck=list(reading.crosscheck),
        scope=list(reading.scope),
        method=reading.method,
        meter=reading.meter,
        basis=reading.basis,
        quality=reading.quality,
        idle_share=net.share if net else None,
        idle_state=idle.state if net and idle else None,
    )


def _inference_s(generation: Generation) -> float:
    done = generation.completions
    return covered_ns((one.sent_ns, one.ended_ns) for one in done) / 1e9


def _latency(run: Pass) -> dict[str, Any]:
    requests, times = stamps(run), _engine_times(run)
    if run.kind == "latency":
        block = streamed(
            requests,
            tokenise_ms=run.tokenise_ms,
            queue_ms=times["queue_ms"] and times["queue_ms"]["mean"],
            together=run.arrivals is not None or run.concurrency is not None,
        )
    else:
        block = batched(requests)
    return {
        **block,
        "left_out": run.left_out,
        "path": run.generation.native.get("path"),
        "engine_times": times,
    }


def _engine_times(run: Pass) -> dict[str, Any]:
    """Completed requests in queue, prefill and decode, where the engine tells it."""
    told = run.generation.native.get("request_times_ms") or {}
    done = list(enumerate(run.generation.completions))[run.left_out :]
    places = [place for place, one in done if one.outcome == "completed"]
    found = {
        f"{name}_ms": distribution([times[k] for k in places] if times else [])
        for name in ("queue", "prefill", "decode")
        for times in [told.get(name)]
    }
    lacking = any(one is None for one in found.values())
    return {**found, "reason": "not_reported_by_engine" if lacking else None}
