"""Whether requests are short enough for a model, and for an engine as it is asked."""

from __future__ import annotations

from pytest_lem.errors import ConfigError
from pytest_lem.spec.workload import Workload
from pytest_lem.workload.lengths import inputs_of, outputs_of

LONGEST = {"vllm": "max_model_len", "tensorrt": "max_seq_len"}
"""What limits prompt and answer together, by the name that each engine has for it."""

LENGTH_KEYS = {"input_tokens", "input_lengths", "output_tokens", "output_lengths"}
"""The keys of a workload that say how long its requests are."""


def check_context(limit: int | None, holder: str, workload: Workload) -> None:
    """Refuse requests of more tokens, in and out, than `holder` holds.

    Raises ConfigError with the lengths. Given prompts are known to be too long only
    when the engine has made tokens of them.
    """
    if limit is None or workload.prompts is not None:
        return
    longest, most = workload.longest_input, workload.longest_output
    if longest is None or most is None:
        _check_drawn(limit, holder, workload)
    elif longest + most > limit:
        name = "input_lengths up to " if workload.input_lengths else "input_tokens="
        out = "output_lengths up to " if workload.output_lengths else "output_tokens="
        raise ConfigError(
            f"{name}{longest} and {out}{most} make {longest + most}; "
            f"{holder} holds {limit}"
        )


def _check_drawn(limit: int, holder: str, workload: Workload) -> None:
    """Refuse lengths without a limit of their own where one that is drawn is above."""
    count = workload.most_requests
    into = inputs_of(workload, count) or [workload.synthetic_input_tokens] * count
    out = outputs_of(workload, count) or [workload.output_tokens or 0] * count
    for place, (length, more) in enumerate(zip(into, out, strict=True)):
        if length + more > limit:
            raise ConfigError(
                f"request {place} has {length} tokens in and {more} out, which make "
                f"{length + more}; {holder} holds {limit}"
            )
