"""`vllm bench serve`: its result file, as without --save-detailed."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pytest_lem.analysis.peers import NO_STAMPS, Run, Told, first_ns, gaps_ns, last_ns
from pytest_lem.analysis.requests import Request

VERSION = "vllm 0.32.0"
PERCENTILES = (50, 90, 95, 99)

_LIMITS = {"ttft_ms": "ttft", "tpot_ms": "tpot", "e2e_ms": "e2el"}


def told(run: Run) -> Told:
    """Its summary of a run; a request without any token has failed there too.

    `output_lens`, `ttfts` and other lists of single requests are left out, as the tool
    does by default; `latencies` it keeps.
    """
    done = run.answered
    tokens_in = sum(one.input_tokens for one in done)
    tokens_out = sum(one.output_tokens for one in done)
    nulls: dict[str, str] = {"queue_times": "client_has_no_queue"}
    good, nulls["request_goodput"] = _good(run, done)
    rate: float | str | None = run.rate_rps
    if rate is None:
        nulls["request_rate"] = "rate_is_of_a_trace"
        rate = None if run.scheduled else "inf"
    if run.burstiness is None:
        nulls["burstiness"] = "no_law_of_gaps"
    result = {
        "backend": "pytest-lem",
        "model_id": run.model,
        "tokenizer_id": run.model,
        "num_prompts": len(run.requests),
        "request_rate": rate,
        "burstiness": run.burstiness,
        "max_concurrency": run.concurrency,
        "duration": run.duration_s,
        "completed": len(done),
        "failed": len(run.requests) - len(done),
        "total_input_tokens": tokens_in,
        "total_output_tokens": tokens_out,
        "request_throughput": len(done) / run.duration_s,
        "request_goodput": None if good is None else good / run.duration_s,
        "output_throughput": tokens_out / run.duration_s,
        "total_token_throughput": (tokens_in + tokens_out) / run.duration_s,
        "latencies": [last_ns(one) / 1e9 for one in run.requests],
        "queue_times": None,
        **_peaks(done, stamped=run.stamped),
        "rtfx": 0.0,
    }
    for name, values in _samples(done, stamped=run.stamped).items():
        result |= _distribution(name, values)
    if not run.stamped:
        named = ("_ttft_ms", "_tpot_ms", "_itl_ms", "max_output_tokens_per_s")
        nulls |= {key: NO_STAMPS for key in result if key.endswith(named)}
    if run.concurrency is None:
        nulls["max_concurrency"] = "not_limited"
    return result, {key: why for key, why in nulls.items() if result[key] is None}


def _samples(
    done: Sequence[Request], *, stamped: bool
) -> dict[str, list[float] | None]:
    """Seconds: TTFT, TPOT and E2EL one a request, ITL one from each event on."""
    e2el = [last_ns(one) / 1e9 for one in done]
    if not stamped:
        return {"ttft": None, "tpot": None, "itl": None, "e2el": e2el}
    return {
        "ttft": [first_ns(one) / 1e9 for one in done],
        "tpot": [_tpot_s(one) for one in done if one.output_tokens > 1],
        "itl": [gap / 1e9 for one in done for gap in gaps_ns(one)],
        "e2el": e2el,
    }


def _tpot_s(request: Request) -> float:
    """0 for a request of one token, which counts for goodput alone."""
    if request.output_tokens < 2:
        return 0.0
    after_s = (last_ns(request) - first_ns(request)) / 1e9
    return after_s / (request.output_tokens - 1)


def _distribution(name: str, values: Sequence[float] | None) -> dict[str, Any]:
    """Of nothing it is 0, as numpy's mean of 0 is there."""
    keys = ["mean", "median", "std", *(f"p{one}" for one in PERCENTILES)]
    if values is None:
        return {f"{key}_{name}_ms": None for key in keys}
    sample = 1000 * np.asarray(values or [0.0])
    figures = [sample.mean(), np.median(sample), sample.std()]
    figures += [np.percentile(sample, one) for one in PERCENTILES]
    pairs = zip(keys, figures, strict=True)
    return {f"{key}_{name}_ms": float(figure) for key, figure in pairs}


def _good(run: Run, done: Sequence[Request]) -> tuple[int | None, str]:
    """Requests that met all limits, or None and why."""
    why = run.no_verdict(_LIMITS)
    if why is not None:
        return None, why
    return sum(_meets(one, run) for one in done), ""


def _meets(request: Request, run: Run) -> bool:
    values_s = {
        "ttft_ms": lambda: first_ns(request) / 1e9,
        "tpot_ms": lambda: _tpot_s(request),
        "e2e_ms": lambda: last_ns(request) / 1e9,
    }
    return all(values_s[name]() <= most / 1e3 for name, most in run.limits.items())


def _peaks(done: Sequence[Request], *, stamped: bool) -> dict[str, Any]:
    """The fullest of the seconds after the first request: events, and requests in it.

    An event counts one token, however many it brought.
    """
    if not done:
        return {"max_output_tokens_per_s": 0.0, "max_concurrent_requests": 0}
    start_ns = min(one.sent_ns for one in done)
    end_ns = max(one.sent_ns + last_ns(one) for one in done)
    seconds = int(np.ceil((end_ns - start_ns) / 1e9)) + 1
    tokens, flying = np.zeros(seconds), np.zeros(seconds)
    for one in done:
        for at_ns in sorted({*one.token_ns}):
            tokens[int((at_ns - start_ns) / 1e9)] += 1
        first_s = (one.sent_ns - start_ns) / 1e9
        flying[int(first_s) : int(first_s + last_ns(one) / 1e9) + 1] += 1
    return {
        "max_output_tokens_per_s": float(tokens.max()) if stamped else None,
        "max_concurrent_requests": int(flying.max()),
    }
