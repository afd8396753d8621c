"""When requests are sent: schedules that follow from a seed, and recorded times.

Random numbers are 53 bits of SHAKE-256 each, and turned into gaps by the formulas here:
no library's stream is in them that another version might draw otherwise. Times are
whole nanoseconds, so that the last bit of a logarithm is in none.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, count, repeat
from pathlib import Path

from pytest_lem.errors import ConfigError
from pytest_lem.spec.parameters.arrivals import Arrivals
from pytest_lem.spec.workload import Workload
from pytest_lem.workload.prompts import little_endian

_DRAWN_AT_ONCE = 1024


def schedule(arrivals: Arrivals, requests: int, *, seed: int) -> list[int]:
    """When each request is due, in nanoseconds after the first, which is due at 0.

    The same for a seed on every platform and engine. ConfigError where a trace has too
    few times, or cannot be read.
    """
    if arrivals.file is not None:
        return _recorded(arrivals.file, requests)
    key = seed if arrivals.seed is None else arrivals.seed
    shape = arrivals.shape
    units = repeat(1.0) if shape is None else _gammas(shape, _uniforms(key))
    gaps_s = (u / r for u, r in zip(units, rates_rps(arrivals, requests), strict=False))
    return [round(1e9 * at_s) for at_s in accumulate(gaps_s, initial=0.0)]


def rates_rps(arrivals: Arrivals, requests: int) -> list[float]:
    """The rate that each gap of a schedule has on the mean, in requests a second.

    A ramp goes from gap to gap: from `rate_rps` at the first to `end_rate_rps` at the
    last. Empty for recorded times, which have none.
    """
    first, gaps = arrivals.rate_rps, requests - 1
    if first is None:
        return []
    last = arrivals.end_rate_rps or first
    done = [gap / max(1, gaps - 1) for gap in range(gaps)]
    if arrivals.ramp == "exponential":
        return [first * (last / first) ** part for part in done]
    return [first + (last - first) * part for part in done]


def by_times(workload: Workload) -> Workload:
    """A workload with the hash of recorded times in place of their file."""
    if workload.arrivals is None or workload.arrivals.file is None:
        return workload
    text = " ".join(str(at_ns) for at_ns in _times_ns(workload.arrivals.file))
    digest = hashlib.sha256(text.encode()).hexdigest()
    hashed = workload.arrivals.model_copy(update={"file": digest})
    return workload.model_copy(update={"arrivals": hashed})


def _recorded(path: str, requests: int) -> list[int]:
    times_ns = _times_ns(path)
    if len(times_ns) < requests:
        msg = (
            f"arrival file {path} has {len(times_ns)} times and a window "
            f"{requests} requests"
        )
        raise ConfigError(msg)
    return times_ns[:requests]


def _times_ns(path: str) -> list[int]:
    """All times of a file after its first one, which need not be 0."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        msg = f"arrival file {path} cannot be read: {why or error}"
        raise ConfigError(msg) from error
    found: list[float] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            found.append(_time_s(line, found, f"arrival file {path}, line {number}"))
    return [round(1e9 * (at_s - found[0])) for at_s in found]


def _time_s(line: str, before: Sequence[float], where: str) -> float:
    try:
        at_s = float(line)
    except ValueError:
        at_s = math.nan
    if not math.isfinite(at_s):
        msg = f"{where}: {line.strip()!r} is no time in seconds"
        raise ConfigError(msg)
    if before and at_s < before[-1]:
        msg = f"{where}: {line.strip()} s is before {before[-1]} s, the time above it"
        raise ConfigError(msg)
    return at_s


def _uniforms(seed: int) -> Iterator[float]:
    """Numbers between 0 and 1, neither of which occurs, without end."""
    for block in count():
        key = f"arrivals:{seed}:{block}"
        drawn = hashlib.shake_256(key.encode()).digest(8 * _DRAWN_AT_ONCE)
        for word in little_endian(array("Q", drawn)):
            yield ((word >> 11) + 0.5) * 2.0**-53


def _gammas(shape: float, uniforms: Iterator[float]) -> Iterator[float]:
    """Numbers of mean 1 from a gamma law, without end; exponential for shape 1."""
    while True:
        if shape == 1:
            yield -math.log(next(uniforms))
        elif shape > 1:
            yield _gamma(shape, uniforms) / shape
        else:
            above = _gamma(shape + 1, uniforms)
            yield above * next(uniforms) ** (1 / shape) / shape


def _gamma(shape: float, uniforms: Iterator[float]) -> float:
    """One number of a shape of at least 1, by Marsaglia and Tsang (2000)."""
    third = shape - 1 / 3
    while True:
        normal = _normal(uniforms)
        cube = (1 + normal / math.sqrt(9 * third)) ** 3
        if cube > 0 and math.log(next(uniforms)) < (
            normal * normal / 2 + third * (1 - cube + math.log(cube))
        ):
            return third * cube


def _normal(uniforms: Iterator[float]) -> float:
    """One number of the standard normal law, by Marsaglia's polar method."""
    while True:
        x, y = 2 * next(uniforms) - 1, 2 * next(uniforms) - 1
        if 0 < (square := x * x + y * y) < 1:
            return x * math.sqrt(-2 * math.log(square) / square)
