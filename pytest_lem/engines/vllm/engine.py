"""vLLM: a flight of requests at a time, scheduled by vLLM itself."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pytest_lem.analysis.flops import Work
from pytest_lem.engines import Completion, GenerateOptions, Loaded
from pytest_lem.engines.contract import check_lengths, rss_peak_mb, total, unlike
from pytest_lem.engines.driven import VLLM, undriven
from pytest_lem.engines.served import Following, Heard, read, with_failed
from pytest_lem.engines.vllm import causes, environment, facts, ranks
from pytest_lem.engines.vllm.adapters import Adapters
from pytest_lem.engines.vllm.arguments import engine_arguments
from pytest_lem.engines.vllm.effective import effective
from pytest_lem.engines.vllm.failures import generation_failure, load_failure
from pytest_lem.engines.vllm.likelihood import Likelihood
from pytest_lem.engines.vllm.native import Native, request_times_ms, spare
from pytest_lem.engines.vllm.on_cpus import refuse_on_cpus
from pytest_lem.engines.vllm.requests import (
    Flight,
    beam_completion,
    cached_tokens,
    priorities,
    work,
)
from pytest_lem.engines.vllm.sampling import plain, sampling, samplings
from pytest_lem.engines.vllm.streaming import (
    AsyncFront,
    add_lora,
    close,
    entry_point,
    flights,
    fly,
    path,
)
from pytest_lem.engines.vllm.watch import Watch, watched
from pytest_lem.errors import (
    ConfigError,
    GenerationError,
    LemError,
    WorkerDied,
)

_PACKAGES = ("transformers", "tokenizers", "safetensors", "flashinfer-python", "triton")


class VllmEngine(Following, Likelihood):
    """A causal language model in vLLM, which batches whatever it is given."""

    def __init__(self) -> None:
        self._llm: Any = None
        self._watch: Watch | None = None
        self._section: Mapping[str, Any] = {}
        self._limits: dict[str, int] = {}
        self._native = Native()
        self._padded = False
        self._caching: bool | None = None
        self._adapters: Adapters | None = None

    def version(self) -> str:
        """The version of vLLM, which is not imported before a load: that takes long."""
        owners = importlib.metadata.packages_distributions().get("vllm", ["vllm"])
        return importlib.metadata.version(owners[0])

    def packages(self) -> dict[str, str]:
        """Versions of torch and the kernels, and which distribution vLLM came with."""
        found = {}
        for name in ("torch", *_PACKAGES):
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        owners = importlib.metadata.packages_distributions().get("vllm", ["vllm"])
        return {**found, "distribution": owners[0]}

    def load(self, spec: Mapping[str, Any]) -> Loaded:
        """Start vLLM with the model; ConfigError or EngineLoadError in one line."""
        self.unload()
        if problems := undriven(spec, VLLM, section="vllm"):
            raise ConfigError("; ".join(problems))
        self._section = section = spec["engine"]
        asked = ranks.asked(section)
        gpus = ranks.gpus_of(section, here=spec["gpus_expected"])
        environment.refuse_open_cuda()
        environment.set_up(
            environment.Facts(
                gpus=gpus, ranks=asked, in_process=section.get("in_process")
            )
        )
        flags = ranks.check_platform(gpus, asked)
        arguments = engine_arguments(spec, gpus=gpus)
        if not gpus:
            refuse_on_cpus(arguments)
        spare(each_token=bool(section.get("speculative_config")))
        start = time.monotonic()
        self._llm = _start(arguments, streams=bool(spec.get("streams")))
        try:
            self._watch = watch = Watch()
            with watch.over():
                self._adapters = Adapters(spec)
                self._adapters.load(partial(add_lora, self._llm))
                duration_s = time.monotonic() - start
                told = self._llm.collective_rpc("lem_probe")
            return self._loaded(spec, arguments, told, duration_s, flags)
        except BaseException:
            self.unload()
            raise

    def _loaded(
        self,
        spec: Mapping[str, Any],
        arguments: Mapping[str, Any],
        told: Sequence[Mapping[str, Any]],
        duration_s: float,
        flags: list[str],
    ) -> Loaded:
        config = self._llm.llm_engine.vllm_config
        in_force = environment.in_force()
        found = effective(arguments, config, told, in_force, spec)
        found["entry_point"] = entry_point(self._llm)
        self._limits = _limits(config)
        self._padded = found["cudagraph_mode"] not in ("NONE", "None")
        model = facts.model_facts(config, self._llm.get_tokenizer(), told)
        self._native = Native(self._llm.llm_engine, model, told)
        self._caching = spec["engine"].get("enable_prefix_caching")
        return Loaded(
            duration_s=duration_s,
            effective={
                **found,
                "prefix_caching": self._prefix_caching(found),
                "weights": spec["weights"],
                "weights_seed": None,
                "adapter": spec.get("adapter"),
                "adapters": self._adapters.told if self._adapters else {},
                "trust_remote_code": spec["trust_remote_code"],
            },
            model={**model, **facts.origin(spec, config)},
            memory=facts.load_memory(told),
            devices=ranks.devices(told, self._section),
            flags=flags + unlike(found, strict=spec["strict"]),
        )

    def _prefix_caching(self, found: Mapping[str, Any]) -> str:
        """`prepare` empties a cache that nobody asked for."""
        if not found["enable_prefix_caching"]:
            return "off"
        return "emptied" if self._caching is None else "on"

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts, with the special tokens that the tokenizer adds."""
        encode = self._llm.get_tokenizer().encode
        return [list(encode(text)) for text in texts]

    def chat_tokenizer(self) -> Any:
        """The tokenizer of transformers."""
        return self._llm.get_tokenizer()

    def detokenize(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Texts of token ids, special tokens left out."""
        decode = self._llm.get_tokenizer().decode
        return [decode(list(row), skip_special_tokens=True) for row in ids]

    @watched
    def prepare(
        self, prompts: Sequence[Sequence[int]], options: GenerateOptions
    ) -> list[Any]:
        """All prompts as one flight; the prefix cache is emptied unless asked for.

        How many run at once is `vllm.max_num_seqs`. With stamps and a batch size of 1
        each request is a flight of its own.
        """
        from vllm import TokensPrompt

        check_lengths(
            prompts,
            options,
            context=self._limits["context"],
            limit="vllm.max_model_len",
        )
        params = sampling(options, self._section)
        if self._caching is None and self._llm.reset_prefix_cache() is False:
            msg = "vLLM did not empty its prefix cache: requests are still running"
            raise GenerationError(msg)
        self._llm.collective_rpc("lem_reset_peak")
        flight = Flight(
            prompts=[TokensPrompt(prompt_token_ids=list(one)) for one in prompts],
            lengths=[len(one) for one in prompts],
            params=params,
            own=samplings(options, self._section),
            lora=self._adapters.of(len(prompts)) if self._adapters else None,
            priorities=priorities(self._section, len(prompts)),
            paced=options.paced,
            stamps=options.stamps,
            limited=options.request_timeout_s is not None,
        )
        self._native.begin()
        if options.stamps:
            return list(flights(flight, options.batch_size, self._section))
        if flight.beams and isinstance(self._llm, AsyncFront):
            raise ConfigError("vllm: decoder.num_beams needs streaming off")
        return [flight]

    def synchronize(self) -> None:
        """Nothing is left to do: vLLM gives tokens out when they are on the host."""

    @watched
    def run(self, batch: Any, options: GenerateOptions) -> Any:
        """One call for the whole flight: of `LLM`, of `AsyncLLM`, or step by step."""
        self._heard = [Heard() for _ in batch.prompts]
        try:
            return fly(self._llm, batch, options, self._heard)
        except Exception as error:
            raise generation_failure(error) from error

    @watched
    def collect(
        self,
        batches: Sequence[Any],
        outcomes: Sequence[Any],
        spans: Sequence[tuple[int, int]],
        options: GenerateOptions,
    ) -> dict[str, Any]:
        """Completions in the order of the prompts, with what the cache took away."""
        peaks = self._llm.collective_rpc("lem_peak")
        completions: list[Completion] = []
        outputs: list[Any] = []
        calls: list[Work] | None = []
        heard: list[Heard] = []
        for flight, outcome, span in zip(batches, outcomes, spans, strict=True):
            if flight.beams:
                calls = None
                completions += [
                    beam_completion(one, length, span, options)
                    for one, length in zip(outcome, flight.lengths, strict=True)
                ]
                continue
            heard += outcome if flight.timed else ()
            made, done = read(
                outcome,
                flight.lengths,
                span,
                options,
                timed=flight.timed,
                first=len(completions),
            )
            completions += made
            outputs += done
            known = self._work(flight, done) if len(done) == len(made) else None
            calls = None if calls is None or known is None else [*calls, *known]
        told = self._native.told(calls, bool(self._section.get("speculative_config")))
        preempted = told["scheduler"]["preemptions"]
        cached = cached_tokens(outputs)
        return {
            "completions": completions,
            "batches": [len(flight.prompts) for flight in batches],
            "due_ns": [one.due_ns for one in heard] if options.due_ns else [],
            "padding_tokens": 0,
            "padding_told": not self._padded,
            "memory": {
                "inference_peak_mb": total([one["peak_mb"] for one in peaks]),
                "reserved_peak_mb": total([one["reserved_mb"] for one in peaks]),
                "rss_peak_mb": rss_peak_mb(),
                "kv_cache_read_mb": self._native.kv_cache_mb(told),
            },
            "work": calls,
            "native": {
                "sampling": plain(batches[0].sampled(0)) if batches else None,
                "path": path(self._llm, batches[0]) if batches else None,
                "cached_prompt_tokens": cached,
                "request_times_ms": with_failed(request_times_ms(outputs), completions),
                "at_once": self._limits["max_num_seqs"],
                **told,
                "flags": [
                    *self._flags(cached, preempted, batches, options),
                    *(["itl_per_chunk"] if _in_chunks(heard, options) else []),
                ],
            },
        }

    def _work(self, flight: Flight, outputs: Sequence[Any]) -> list[Work] | None:
        """Known where all that was computed is in what came out."""
        if self._section.get("speculative_config") or self._native.preempted:
            return None
        ends = {one.outputs[0].finish_reason for one in outputs}
        if ends != {"length"} and self._limits["looks_ahead"]:
            return None  # a step may have been computed after a request's end
        return work(flight, outputs, limits=self._limits)

    def _flags(
        self,
        cached: int,
        thrown_out: int | None,
        flights: Sequence[Flight],
        options: GenerateOptions,
    ) -> list[str]:
        """What is to be said against a pass."""
        texts = [max(f.beams, getattr(f.params, "n", 1)) for f in flights]
        wanted = options.batch_size * max(texts)
        most = min(wanted, sum(len(f.prompts) for f in flights))
        found = {
            "prefix_cache_hits": cached > 0 and not self._caching,
            "preempted": bool(thrown_out),
            "batch_size_limited": most > self._limits["max_num_seqs"],
        }
        return [name for name, there in found.items() if there]

    def unload(self) -> None:
        """Shut vLLM down and give its memory back."""
        llm, self._llm, self._adapters = self._llm, None, None
        self._native = Native()
        watch, self._watch = self._watch, None
        if watch:
            watch.stop()
        if llm is None:
            return
        close(llm)
        del llm
        gc.collect()
        torch = sys.modules["torch"]
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        if watch and (left := watch.left()):
            raise WorkerDied(f"vLLM has shut down and still runs: {', '.join(left)}")


def _start(arguments: Mapping[str, Any], *, streams: bool) -> Any:
    """`AsyncLLM`, which servers use, where tokens are timed; not in one process."""
    from vllm import LLM
    from vllm.engine.arg_utils import EngineArgs

    apart = os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] != "0"
    began = causes.mark()
    try:
        EngineArgs(**arguments)  # LLM drops keys of sections that it does not know
        return AsyncFront(arguments) if streams and apart else LLM(**arguments)
    except LemError:
        raise
    except Exception as error:
        cause = causes.root_cause(began)
        raise load_failure(str(arguments["model"]), error, cause) from error


def _in_chunks(heard: Sequence[Heard], options: GenerateOptions) -> bool:
    return options.stamps and any(one.in_chunks for one in heard)


def _limits(config: Any) -> dict[str, int]:
    """What bounds a step, and a request."""
    scheduler = config.scheduler_config
    tokens = scheduler.max_num_batched_tokens
    return {
        "max_num_seqs": scheduler.max_num_seqs,
        "max_num_batched_tokens": min(
            tokens, getattr(scheduler, "max_num_scheduled_tokens", None) or tokens
        ),
        "prompt_step": getattr(scheduler, "long_prefill_token_threshold", 0) or 0,
        "looks_ahead": int(bool(getattr(scheduler, "async_scheduling", False))),
        "context": config.model_config.max_model_len,
    }
