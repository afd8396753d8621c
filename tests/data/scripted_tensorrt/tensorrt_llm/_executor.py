"""Requests, scheduled in steps by a thread; results, in the shapes of the real ones."""

import asyncio
import itertools
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

STEP_S = 0.0005


@dataclass
class CompletionOutput:
    index: int
    text: str = ""
    token_ids: list = field(default_factory=list)
    cumulative_logprob: float | None = None
    logprobs: list = field(default_factory=list)
    prompt_logprobs: list = field(default_factory=list)
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    generation_logits: Any = None
    request_perf_metrics: Any = None
    _last: int = 0

    @property
    def length(self):
        return len(self.token_ids)

    @property
    def token_ids_diff(self):
        return self.token_ids[self._last :]


class RequestOutput:
    """A request: what it asks for, and what came of it as far as it was looked at."""

    numbers = itertools.count(1)

    def __init__(self, prompt, params, *, streaming, salt, lora):
        self.request_id = next(self.numbers)
        self.prompt_token_ids, self.prompt = list(prompt), None
        self.sampling_params, self.streaming = params, streaming
        self.salt, self.lora = salt, lora
        self.outputs = [CompletionOutput(k) for k in range(params.n)]
        self.finished, self.cached_tokens, self.decoding_iter = False, 0, 0
        self.avg_decoded_tokens_per_iter = None
        self.arrival_s = time.monotonic()
        self.scheduled_s = self.first_s = self.last_s = 0.0
        self.made, self.steps, self.drafted, self.accepted = 0, 0, 0, 0
        self._aborted, self.context_logits = False, None
        try:
            self._loop = asyncio.get_running_loop()
            self._events = asyncio.Queue()
        except RuntimeError:
            self._loop, self._events = None, queue.Queue()

    def abort(self):
        self._aborted = True

    def say(self, event):
        if self._loop is None:
            self._events.put(event)
        else:
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    def _take(self, event):
        if isinstance(event, Exception):
            raise event
        for output, new in zip(self.outputs, event["tokens"], strict=True):
            output._last = len(output.token_ids)
            output.token_ids.extend(new)
            output.finish_reason = event["reason"]
            output.request_perf_metrics = event["metrics"]
        self.cached_tokens, self.decoding_iter = event["cached"], event["steps"]
        self.avg_decoded_tokens_per_iter = event["average"]
        self.finished = event["done"]

    def result(self, timeout=None):
        while not self.finished:
            self._take(self._events.get(timeout=timeout))
        return self

    async def aresult(self):
        while not self.finished:
            self._take(await self._events.get())
        return self

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self.finished:
            raise StopAsyncIteration
        self._take(await self._events.get())
        return self


def logits_of(prompt, words, *, more=64):
    """As many rows as there are tokens, with columns that are no words behind them."""
    import torch

    columns = torch.arange(words + more)
    rows = [(token * 31 + columns * 17) % 97 for token in prompt]
    return torch.stack(rows).to(torch.float16) / 10


class Executor:
    """Continuous batching: so many requests at once, one step after another."""

    def __init__(self, args, vocab_size, *, drafts=0):
        self.args, self.vocab_size, self.drafts = args, vocab_size, drafts
        self.cache, self.stats = set(), deque(maxlen=max(args_of(args), 1))
        self.steps = itertools.count(1)
        self._waiting, self._changed = deque(), threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def add(self, request):
        with self._changed:
            if not self._open:
                raise RuntimeError("LLM is shutting down")
            if request.sampling_params.return_context_logits:
                request.context_logits = logits_of(
                    request.prompt_token_ids, self.vocab_size
                )
            self._waiting.append(request)
            self._changed.notify()

    def close(self):
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _work(self):
        active = []
        while True:
            with self._changed:
                while not (active or self._waiting) and self._open:
                    self._changed.wait()
                if not self._open:
                    return
                new = self._admit(len(active))
            time.sleep(STEP_S)
            now_s, before = time.monotonic(), [*active]
            active += new
            for request in active:
                self._step(request, now_s)
            self._count(new, before, active)
            active = [one for one in active if not one.done]

    def _admit(self, running):
        found, tokens = [], 0
        while self._waiting and running + len(found) < self.args.max_batch_size:
            tokens += len(self._waiting[0].prompt_token_ids)
            if found and tokens > self.args.max_num_tokens:
                break
            request = self._waiting.popleft()
            request.scheduled_s, request.done = time.monotonic(), False
            request.cached = self._cached(request)
            request.unsaid = 0
            found.append(request)
        return found

    def _cached(self, request):
        """Tokens of whole blocks that another request has begun with."""
        size, row = self.args.kv_cache_config.tokens_per_block, request.prompt_token_ids
        keys = [(request.salt, tuple(row[:end])) for end in range(size, len(row), size)]
        reused = self.args.kv_cache_config.enable_block_reuse
        hits = len(list(itertools.takewhile(self.cache.__contains__, keys)))
        self.cache.update(keys if reused else ())
        return size * hits if reused else 0

    def _step(self, request, now_s):
        params, limit = request.sampling_params, request.sampling_params.max_tokens
        count = 1
        if self.drafts and request.made:
            request.drafted += self.drafts
            count = min(1 + self.drafts // 2, limit - request.made)
            request.accepted += count - 1
        request.first_s, request.last_s = request.first_s or now_s, now_s
        request.steps += 1
        new = [[] for _ in request.outputs]
        reason = "cancelled" if request._aborted else None
        for _ in range(0 if request._aborted else count):
            least = params.min_tokens or 1
            if not params.ignore_eos and request.made >= max(least, self._end(request)):
                reason = "stop"
                break
            for text, row in enumerate(new):
                row.append(self._token(request, request.made, text))
            request.made += 1
        if request.made >= limit:
            reason = reason or "length"
        request.done = reason is not None
        self._say(request, new, reason)

    def _say(self, request, new, reason):
        request.pending = getattr(request, "pending", [[] for _ in new])
        for all_of_it, row in zip(request.pending, new, strict=True):
            all_of_it += row
        every = getattr(self.args, "stream_interval", 1)
        if not request.done and (not request.streaming or request.steps % every):
            return
        tokens, request.pending = request.pending, [[] for _ in new]
        request.say(
            {
                "tokens": tokens,
                "reason": reason,
                "done": request.done,
                "cached": request.cached,
                "steps": request.steps,
                "average": request.made / request.steps,
                "metrics": self._metrics(request) if request.done else None,
            }
        )

    def _end(self, request):
        return 2 + sum(request.prompt_token_ids) % 5

    def _token(self, request, place, text):
        """Without meaning; the same for the same prompt, another by chance or LoRA."""
        row, params = request.prompt_token_ids, request.sampling_params
        drawn = 0 if params.greedy or params.use_beam_search else 7 * (params.seed or 1)
        lora = request.lora.lora_int_id if request.lora else 0
        total = sum((k + 1) * one for k, one in enumerate(row)) + 13 * place + 29 * text
        return (total + drawn + 101 * lora) % min(self.vocab_size, 256)

    def _metrics(self, request):
        if not request.sampling_params.return_perf_metrics:
            return None
        size = self.args.kv_cache_config.tokens_per_block
        blocks = -(-(len(request.prompt_token_ids) + request.made) // size)
        reused = request.cached // size
        times = {
            "arrival_time": request.arrival_s,
            "first_scheduled_time": request.scheduled_s,
            "first_token_time": request.first_s,
            "last_token_time": request.last_s,
        }
        return SimpleNamespace(
            timing_metrics=SimpleNamespace(
                **{name: timedelta(seconds=one) for name, one in times.items()}
            ),
            kv_cache_metrics=SimpleNamespace(
                num_total_allocated_blocks=blocks,
                num_new_allocated_blocks=blocks - reused,
                num_reused_blocks=reused,
                num_missed_blocks=blocks - reused,
                kv_cache_hit_rate=reused / blocks,
            ),
            speculative_decoding=SimpleNamespace(
                acceptance_rate=request.accepted / (request.drafted or 1),
                total_accepted_draft_tokens=request.accepted,
                total_draft_tokens=request.drafted,
            ),
            first_iter=0,
            last_iter=request.steps,
            iter=None,
        )

    def _count(self, new, before, active):
        if not getattr(self.args, "enable_iter_perf_stats", True):
            return
        size = self.args.kv_cache_config.tokens_per_block
        used = sum(-(-(len(r.prompt_token_ids) + r.made) // size) for r in active)
        done = [one for one in active if one.done]
        found = {
            "iter": next(self.steps),
            "iterLatencyMS": STEP_S * 1e3,
            "numActiveRequests": len(active),
            "numQueuedRequests": len(self._waiting),
            "numCompletedRequests": len(done),
            "maxNumActiveRequests": self.args.max_batch_size,
            "gpuMemUsage": 4_000_000_000,
            "cpuMemUsage": 2_000_000_000,
            "pinnedMemUsage": 500_000_000,
            "kvCacheStats": {
                "maxNumBlocks": 1000,
                "freeNumBlocks": 1000 - used,
                "usedNumBlocks": used,
                "tokensPerBlock": size,
                "allocNewBlocks": used,
                "reusedBlocks": 0,
                "missedBlocks": used,
                "cacheHitRate": 0.0,
            },
            "inflightBatchingStats": {
                "numScheduledRequests": len(active),
                "numContextRequests": len(new),
                "numGenRequests": len(before),
                "numPausedRequests": 0,
                "numCtxTokens": sum(len(one.prompt_token_ids) for one in new),
                "avgNumDecodedTokensPerIter": 1.0,
            },
        }
        if self.drafts:
            found["specDecodingStats"] = {
                "numDraftTokens": self.drafts * len(before),
                "numAcceptedTokens": self.drafts // 2 * len(before),
                "acceptanceLength": 1.0 + self.drafts // 2,
                "draftOverhead": 0.1,
            }
        self.stats.append(found)


def args_of(args):
    """How many steps are kept; those before are lost."""
    return getattr(args, "max_stats_len", 1000)
