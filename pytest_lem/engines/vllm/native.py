"""What vLLM's scheduler tells of each step: queues, cache, drafts, operations.

It stands in the place of vLLM's own loggers and hears what they would, step by step,
on every path: what a gauge shows afterwards is 0, and what a window had is not. Fields
that a version lacks are null with a reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_lem.analysis.architecture import NoArchitecture, from_facts
from pytest_lem.analysis.flops import Work, closed_form

Step = tuple[Any, Any]
"""`SchedulerStats` and `IterationStats` of a step; the second may be None."""


class Recorder:
    """A logger of vLLM's that keeps the steps of one pass, and looks at them later."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def record(
        self,
        scheduler_stats: Any,
        iteration_stats: Any,
        *_others: Any,
        **_more: Any,
    ) -> None:
        """Keep a step."""
        if scheduler_stats is not None:
            self.steps.append((scheduler_stats, iteration_stats))

    def __getattr__(self, name: str) -> Any:
        """Whatever else a version tells its loggers, which is not kept."""
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_args, **_kwargs: None


def spare(*, each_token: bool) -> None:
    """Have `LLM` keep statistics of each token, or of a request's ends alone.

    vLLM looks an environment variable up for each request of each step to keep them:
    0.6 ms in a step of 64 that a bare `LLM`, which keeps none, does not have (0.32.0).
    """
    from vllm.v1.engine import llm_engine
    from vllm.v1.metrics.stats import IterationStats

    class OfEnds(IterationStats):  # type: ignore[misc]
        """Those of a request's first and last tokens; of others their number."""

        def update_from_output(
            self, output: Any, told_s: float, first: bool, *others: Any
        ) -> None:
            """Keep what `request_times_ms` and the counts of a pass need."""
            if first or output.events is not None or output.finish_reason is not None:
                super().update_from_output(output, told_s, first, *others)
            else:
                self.num_generation_tokens += len(output.new_token_ids)

    llm_engine.IterationStats = IterationStats if each_token else OfEnds


class Native:
    """What a loaded engine tells of its passes, one after another."""

    def __init__(
        self,
        engine: Any = None,
        model: Mapping[str, Any] | None = None,
        ranks: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._recorder = Recorder()
        self._model = model or {}
        self._ranks = len(ranks)
        self._cache_mb = sum(one["kv_cache_bytes"] for one in ranks) / 1e6
        self._blocks = self._block_tokens = 0
        if engine is not None:
            cache = engine.vllm_config.cache_config
            self._blocks = int(cache.num_gpu_blocks or 0)
            self._block_tokens = int(cache.block_size or 0)
            manager = engine.logger_manager
            if manager is not None:  # none where vllm.disable_log_stats is set
                # Those for dashboards cost 0.1 ms in a step of 64 requests.
                manager.stat_loggers[:] = [self._recorder]

    def begin(self) -> None:
        """Forget the pass before."""
        self._recorder.steps.clear()

    @property
    def preempted(self) -> bool:
        """Whether a request of the pass was thrown out, or nobody can tell."""
        steps = self._recorder.steps
        return not steps or any(each and each.num_preempted_reqs for _, each in steps)

    def told(self, work: Sequence[Work] | None, speculates: bool) -> dict[str, Any]:
        """Groups of one pass; a group that this version does not tell is null."""
        steps = self._recorder.steps
        return {
            "scheduler": scheduled(
                steps, capacity_tokens=self._blocks * self._block_tokens or None
            ),
            "speculation": drafts(steps) if speculates else None,
            "mfu_metrics": operations(steps, work, self._model, ranks=self._ranks),
        }

    def kv_cache_mb(self, told: Mapping[str, Any]) -> float | None:
        """The most of the cache that was in use after a step, in MB: whole blocks.

        One block of the pool is never given out, and no part of the share.
        """
        peak_pct: float | None = told["scheduler"]["kv_cache_peak_pct"]
        if peak_pct is None or not self._blocks:
            return None
        used_mb: float = self._cache_mb * (1 - 1 / self._blocks) * peak_pct / 100
        return used_mb


def scheduled(steps: Sequence[Step], *, capacity_tokens: int | None) -> dict[str, Any]:
    """What the scheduler did in a pass, and why what is null is.

    The use of the cache is that after each step, when requests that ended in it have
    given theirs back; its peak is therefore one of at least two steps.
    """
    told = [stats for stats, _ in steps]
    done = [each for _, each in steps if each is not None]
    usage = [100.0 * stats.kv_cache_usage for stats in told]
    running = [stats.num_running_reqs for stats in told]
    found = {
        "steps": len(done),
        "running_max": max(running, default=None),
        "waiting_max": max((stats.num_waiting_reqs for stats in told), default=None),
        "preemptions": sum(each.num_preempted_reqs for each in done),
        "generation_tokens": sum(each.num_generation_tokens for each in done),
        "prefix_cache_queries": sum(s.prefix_cache_stats.queries for s in told),
        "prefix_cache_hits": sum(s.prefix_cache_stats.hits for s in told),
        "kv_cache_capacity_tokens": capacity_tokens,
        "kv_cache_peak_pct": max(usage, default=0.0) or None,
        "cuda_graph_steps": _graph_steps(told),
    }
    if not told:
        lacking = dict.fromkeys(found, "no_scheduler_stats")
        return {**dict.fromkeys(found), "nulls": lacking}
    reasons = {
        "kv_cache_capacity_tokens": "not_reported_by_engine",
        "kv_cache_peak_pct": "given_back_within_a_step",
        "cuda_graph_steps": "needs_vllm.cudagraph_metrics",
    }
    nulls = {name: why for name, why in reasons.items() if found[name] is None}
    return {**found, "nulls": nulls}


def drafts(steps: Sequence[Step]) -> dict[str, Any] | None:
    """What became of drafted tokens; None where this version does not tell.

    A call that checks is one of a request in a step, with a draft or without.
    """
    if not steps or not hasattr(steps[0][0], "spec_decoding_stats"):
        return None
    told = [s.spec_decoding_stats for s, _ in steps if s.spec_decoding_stats]
    calls = sum(
        len(each.time_to_first_tokens_iter) + len(each.inter_token_latencies_iter)
        for _, each in steps
        if each is not None
    )
    places = [one.num_accepted_tokens_per_pos for one in told]
    return {
        "verify_calls": calls,
        "drafted_tokens": sum(one.num_draft_tokens for one in told),
        "accepted_tokens": sum(one.num_accepted_tokens for one in told),
        "drafts": sum(one.num_drafts for one in told),
        "accepted_by_place": [sum(one) for one in zip(*places, strict=True)],
    }


def operations(
    steps: Sequence[Step],
    work: Sequence[Work] | None,
    facts: Mapping[str, Any],
    *,
    ranks: int,
) -> dict[str, Any] | None:
    """The engine's own estimate of operations and bytes, and the closed form.

    None unless it estimates (`vllm.enable_mfu_metrics`). It counts no rows that only
    fill a CUDA graph up.
    """
    told = [found for s, _ in steps if (found := getattr(s, "perf_stats", None))]
    if not told:
        return None
    flops = sum(one.num_flops_per_gpu for one in told)
    found = {
        "flops_per_gpu": flops,
        "read_bytes_per_gpu": sum(one.num_read_bytes_per_gpu for one in told),
        "write_bytes_per_gpu": sum(one.num_write_bytes_per_gpu for one in told),
    }
    ours, reason = None, None
    if work is None:
        reason = "work_not_told"
    else:
        try:
            ours = closed_form(from_facts(facts), work).total
        except NoArchitecture as error:
            reason = str(error)
    return {
        **found,
        "closed_form_flops": ours,
        "difference_pct": 100 * (ranks * flops / ours - 1) if ours else None,
        "reason": reason,
    }


def request_times_ms(outputs: Iterable[Any]) -> dict[str, list[float] | None]:
    """Milliseconds of each request in queue, prefill and decode, by the core's clock.

    None where one of them is not told. Only stamps of the core are subtracted: when a
    request arrived is told by another clock.
    """
    stats = [one.metrics if len(one.outputs) == 1 else None for one in outputs]
    ends = {
        "queue": ("queued_ts", "scheduled_ts"),
        "prefill": ("scheduled_ts", "first_token_ts"),
        "decode": ("first_token_ts", "last_token_ts"),
    }
    found: dict[str, list[float] | None] = {}
    for name, (start, end) in ends.items():
        pairs = [(getattr(s, start, 0.0), getattr(s, end, 0.0)) for s in stats]
        known = pairs and all(a and b for a, b in pairs)
        found[name] = [1e3 * (b - a) for a, b in pairs] if known else None
    return found


def _graph_steps(told: Sequence[Any]) -> dict[str, int] | None:
    """Steps by what they ran as; None unless vLLM counts them."""
    found = [one.cudagraph_stats for one in told if _has(one, "cudagraph_stats")]
    return dict(Counter(str(one.runtime_mode) for one in found)) if found else None


def _has(stats: Any, name: str) -> bool:
    return getattr(stats, name, None) is not None
