"""What every engine is held to, in the same words: work done, model as asked, failures.

Standard library only: engines import it in their workers.
"""

from __future__ import annotations

import contextlib
import re
import resource
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from pytest_lem.analysis.failures import Outcome
from pytest_lem.engines import Completion, GenerateOptions
from pytest_lem.errors import ConfigError, EngineLoadError, GenerationError


def check_lengths(
    prompts: Sequence[Sequence[int]],
    options: GenerateOptions,
    *,
    context: int | None,
    limit: str = "the model's context",
) -> None:
    """Refuse what does not fit into `context` tokens (of `limit`), and sizes below one.

    Raises ConfigError; a context of None is not known and bounds nothing.
    """
    fewest = options.min_output_tokens or 0
    if options.batch_size < 1 or not 1 <= options.output_tokens >= fewest >= 0:
        msg = (
            f"batch_size {options.batch_size}, output_tokens {options.output_tokens}, "
            f"min_output_tokens {fewest}: sizes are at least 1 and the minimum no more "
            "than the limit"
        )
        raise ConfigError(msg)
    _check_limits(len(prompts), options)
    for place, prompt in enumerate(prompts):
        if not prompt:
            msg = f"prompt {place} has no tokens: a request needs at least one"
            raise ConfigError(msg)
        asked = options.of(place).output_tokens
        total = len(prompt) + asked
        if context is not None and total > context:
            msg = (
                f"prompt {place} has {len(prompt)} tokens, with {asked}"
                f" to generate that is {total}: {limit} is {context}"
            )
            raise ConfigError(msg)


def _check_limits(requests: int, options: GenerateOptions) -> None:
    limits, most = options.output_limits, options.output_tokens
    if limits and len(limits) != requests:
        msg = f"{requests} prompts have {len(limits)} output_limits: each needs one"
        raise ConfigError(msg)
    fewest = 1 if options.forced else max(1, options.min_output_tokens or 0)
    for place, one in enumerate(limits):
        if not fewest <= one <= most:
            msg = (
                f"output_limits: prompt {place} may have {one} tokens, which is not "
                f"between {fewest} and {most}"
            )
            raise ConfigError(msg)


def check_count(count: int, reason: str, options: GenerateOptions) -> None:
    """See that no more was done than was asked for, or the pass is worth nothing."""
    if count > options.output_tokens:
        msg = (
            f"a request got {count} tokens ({reason}), at most {options.output_tokens} "
            "were asked for"
        )
        raise GenerationError(msg)


def judged(one: Completion, options: GenerateOptions) -> Completion:
    """The request, as failed where it was too late, or ended before its least length.

    What an engine itself says of a request that failed stands.
    """
    if one.outcome != "completed":
        return one
    failed = _failed(one, options)
    return replace(one, outcome=failed[0], error=failed[1]) if failed else one


def _failed(one: Completion, options: GenerateOptions) -> tuple[Outcome, str] | None:
    took_s = (one.ended_ns - one.sent_ns) / 1e9
    most_s = options.request_timeout_s
    if most_s is not None and took_s > most_s:
        return "timeout", f"it took {took_s:.3g} s, above request_timeout_s={most_s:g}"
    most_s = options.token_timeout_s
    slowest_s = max((b - a for a, b in pairwise(one.token_ns)), default=0) / 1e9
    if most_s is not None and slowest_s > most_s:
        gap = f"a token took {slowest_s:.3g} s"
        return "token_timeout", f"{gap}, above token_timeout_s={most_s:g}"
    fewest = (options.min_output_tokens or 0) * one.texts
    if one.output_tokens < fewest:
        why = f"{one.output_tokens} of at least {fewest} tokens ({one.finish_reason})"
        return "early_stop", f"it ended after {why}"
    return None


def difference(path: str, asked: Any, found: Any) -> str:
    """The line of `not_as_requested` for a parameter that is not what was asked for."""
    return f"{path}={asked!r} was asked for and {found!r} is what there is"


def unlike(found: Mapping[str, Any], *, strict: bool) -> list[str]:
    """The flag of an engine that is not as it was asked for; an error if strict."""
    lines = found.get("not_as_requested")
    if not lines:
        return []
    if strict:
        msg = f"not as requested: {'; '.join(lines)} (an error because of --lem-strict)"
        raise EngineLoadError(msg)
    return ["not_as_requested"]


def total(sizes: Sequence[float | None]) -> float | None:
    """A size of all ranks together; None where one of them does not know its own."""
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def one_line(error: BaseException) -> str:
    """An error in one line: of a validation what is wrong, and not how often."""
    details: Any = getattr(error, "errors", None)
    if not callable(details):
        return first_line(error)
    told = [_detail(one) for one in details()]
    return "; ".join(filter(None, told)) or type(error).__name__


def _detail(one: Any) -> str:
    where = ".".join(str(part) for part in one.get("loc", ()))
    text = str(one.get("msg", "")).removeprefix("Value error, ").partition("\n")[0]
    return f"{where}: {text}" if where else text


def is_out_of_memory(error: BaseException | None, words: Collection[str] = ()) -> bool:
    """Whether it, or its cause, says so by its kind, or by any of these words.

    The errors of an engine's libraries are known by their names.
    """
    while error is not None:
        names = {cls.__name__ for cls in type(error).__mro__}
        text = str(error)
        if names & {"MemoryError", "OutOfMemoryError"} or any(w in text for w in words):
            return True
        error = error.__cause__
    return False


def rss_peak_mb() -> float:
    """The most memory this process held, in MB; Linux counts it in KiB."""
    # What getrusage says after an exec can be the peak of the process that started us.
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        if found := re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE):
            return int(found[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
