"""Which count of operations a window gets: the best of a chain that can be had."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_lem.analysis.architecture import (
    Architecture,
    NoArchitecture,
    from_config,
    from_facts,
    parameter_count,
)
from pytest_lem.analysis.flops import (
    Flops,
    Work,
    by_parameters,
    closed_form,
    longest_context,
)

Method = Literal["measured", "architecture", "parameters"]
Confidence = Literal["high", "medium", "low"]

CHAINS: dict[str, tuple[Method, ...]] = {
    "auto": ("architecture", "parameters"),
    "measured": ("measured", "architecture", "parameters"),
    "architecture": ("architecture", "parameters"),
    "parameters": ("parameters",),
    "off": (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What an engine's own counter said of a pass, and the work that it is for."""

    flops: Flops
    work: Sequence[Work] | None
    kv_cache_mb: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a window's arithmetic.

    `facts` are the engine's of its model, `config` the parsed config.json if it is at
    hand. `told` says that `work` is the engine's word, and not made from the requests.
    `uncounted` is why there is no `count`.
    """

    facts: Mapping[str, Any]
    config: Mapping[str, Any] | None
    work: Sequence[Work]
    told: bool
    count: Count | None = None
    uncounted: str = "not_asked_for"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Operations, how they were found and how far to trust them.

    `reason` says why no better method was used and what stands against this one; it is
    None where nothing does.
    """

    flops: Flops | None
    method: Method | None
    confidence: Confidence | None
    reason: str | None


class _NotKnown(Exception):
    """A method cannot tell; the text is the reason code."""


def estimate(mode: str, known: Known) -> Estimate:
    """The first method of the mode's chain that can tell, and why none before it."""
    if mode == "off":
        return Estimate(flops=None, method=None, confidence=None, reason="off")
    failed: list[str] = []
    for method in CHAINS[mode]:
        try:
            flops, doubts = _METHODS[method](known)
        except _NotKnown as reason:
            failed.append(f"{method}: {reason}")
            continue
        confidence: Confidence = "medium" if doubts else "high"
        return Estimate(
            flops=flops,
            method=method,
            confidence="low" if method == "parameters" else confidence,
            reason="; ".join([*failed, *doubts]) or None,
        )
    return Estimate(flops=None, method=None, confidence=None, reason="; ".join(failed))


def shape_of(known: Known) -> Architecture:
    """The architecture, by the engine or by config.json; else NoArchitecture."""
    try:
        return from_facts(known.facts)
    except NoArchitecture:
        if known.facts.get("no_closed_form") or known.config is None:
            raise
        return from_config(known.config)


def needed(known: Known, requests: Sequence[Work]) -> Flops | None:
    """What the requests alone ask for, each by itself: the FLOPs that MFU counts."""
    try:
        return closed_form(shape_of(known), requests)
    except NoArchitecture:
        parameters = _parameters(known)
        return None if parameters is None else by_parameters(parameters, requests)


def _measured(known: Known) -> tuple[Flops, list[str]]:
    if known.count is None:
        raise _NotKnown(known.uncounted)
    if not known.told or list(known.count.work or ()) != list(known.work):
        raise _NotKnown("other_work_than_counted")
    return known.count.flops, []


def _architecture(known: Known) -> tuple[Flops, list[str]]:
    try:
        shape = shape_of(known)
    except NoArchitecture as reason:
        raise _NotKnown(str(reason)) from reason
    window = shape.sliding_window
    doubts = {
        "shape_not_checked": known.facts.get("closed_form") != "checked",
        "work_not_told": not known.told,
        "sliding_window": window is not None and longest_context(known.work) > window,
    }
    return closed_form(shape, known.work), [name for name, so in doubts.items() if so]


def _by_parameters(known: Known) -> tuple[Flops, list[str]]:
    parameters = _parameters(known)
    if parameters is None:
        raise _NotKnown("unknown_parameters")
    return by_parameters(parameters, known.work), []


def _parameters(known: Known) -> int | None:
    told: int | None = known.facts.get("parameters")
    if told is not None or known.config is None:
        return told
    try:
        return parameter_count(known.config)
    except NoArchitecture:
        return None


_METHODS: dict[Method, Callable[[Known], tuple[Flops, list[str]]]] = {
    "measured": _measured,
    "architecture": _architecture,
    "parameters": _by_parameters,
}
