"""TensorRT-LLM: a flight of requests at a time, scheduled by TensorRT-LLM itself."""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.metadata
import inspect
import itertools
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_lem.analysis.flops import Work
from pytest_lem.engines import Completion, GenerateOptions, Loaded
from pytest_lem.engines.contract import check_lengths, rss_peak_mb, unlike
from pytest_lem.engines.driven import TENSORRT, undriven
from pytest_lem.engines.served import Following, Heard, read, with_failed
from pytest_lem.engines.tensorrt import (
    checkpoint,
    compiled,
    environment,
    facts,
    hardware,
    steps,
)
from pytest_lem.engines.tensorrt.arguments import engine_arguments, fields_of, lookup
from pytest_lem.engines.tensorrt.drafting import refuse_compiled
from pytest_lem.engines.tensorrt.effective import effective
from pytest_lem.engines.tensorrt.failures import generation_failure, load_failure
from pytest_lem.engines.tensorrt.likelihood import Likelihood
from pytest_lem.engines.tensorrt.requests import (
    Flight,
    cached_tokens,
    lora,
    work,
)
from pytest_lem.engines.tensorrt.sampling import plain, sampling, samplings
from pytest_lem.engines.tensorrt.streaming import flights, fly
from pytest_lem.errors import ConfigError, EngineNotAvailable, LemError
from pytest_lem.workload.adapters import located

_PACKAGES = ("torch", "transformers", "tensorrt", "flashinfer-python", "triton")
_SALTS = itertools.count()


class TensorrtEngine(Following, Likelihood):
    """A causal language model in TensorRT-LLM, which batches whatever it is given."""

    def __init__(self) -> None:
        self._llm: Any = None
        self._loop: asyncio.Runner | None = None
        self._section: Mapping[str, Any] = {}
        self._steps = steps.Steps()
        self._model: Mapping[str, Any] = {}
        self._token_bytes: float | None = None
        self._lora: Any = None
        self._caching: bool | None = None
        self._salted = False
        self._padded = False

    def version(self) -> str:
        """The version of TensorRT-LLM, which is not imported before a load."""
        return importlib.metadata.version(_distribution())

    def packages(self) -> dict[str, str]:
        """Versions of torch and the kernels beside it."""
        found = {}
        for name in _PACKAGES:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        return {**found, "distribution": _distribution()}

    def load(self, spec: Mapping[str, Any]) -> Loaded:
        """Start TensorRT-LLM with the model; ConfigError or EngineLoadError."""
        self.unload()
        if problems := undriven(spec, TENSORRT, section="tensorrt"):
            raise ConfigError("; ".join(problems))
        self._section = section = spec["engine"]
        environment.set_up()
        version = _imported()
        folder = checkpoint.folder_of(spec)
        quantisation = checkpoint.quantisation_of(folder)
        gpus = hardware.gpus()
        algorithm = checkpoint.algorithm_of(quantisation)
        expected = spec["gpus_expected"]
        flags = hardware.check(gpus, section, algorithm, expected=expected)
        method = (section.get("quantization") or {}).get("method")
        checkpoint.check_method(method, quantisation)
        try:
            return self._load(spec, version, gpus, folder, flags)
        except LemError:
            self.unload()
            raise
        except Exception as error:
            self.unload()
            raise load_failure(str(spec["model"]), error) from error

    def _load(
        self,
        spec: Mapping[str, Any],
        version: str,
        gpus: Sequence[hardware.Gpu],
        folder: Path | None,
        flags: list[str],
    ) -> Loaded:
        built: compiled.Compiled | None = None
        if compiled.compiles(spec["engine"]):
            kind, arguments, built = _compiled(spec, gpus, version)
        else:
            kind = importlib.import_module("tensorrt_llm").LLM
            arguments = engine_arguments(spec, known=_known("TorchLlmArgs"))
        start = time.monotonic()
        self._llm = kind(**arguments)
        duration_s = time.monotonic() - start
        self._loop = asyncio.Runner()
        self._lora = lora(spec.get("adapter"))
        return self._loaded(spec, arguments, built, folder, gpus, duration_s, flags)

    def _loaded(
        self,
        spec: Mapping[str, Any],
        arguments: Mapping[str, Any],
        built: compiled.Compiled | None,
        folder: Path | None,
        gpus: Sequence[hardware.Gpu],
        duration_s: float,
        flags: list[str],
    ) -> Loaded:
        args = self._llm.args
        declared = checkpoint.quantisation_of(folder)
        found = effective(arguments, args, declared, spec)
        found["compiled"] = None if built is None else built.to_json()
        self._set_caching(found)
        config = checkpoint.config_of(folder)
        model = self._model = facts.model_facts(
            config,
            self._llm.tokenizer,
            dtype=str(arguments["dtype"]),
            longest=args.max_seq_len,
        )
        narrow = (found["quantisation"] or {}).get("kv_cache_algorithm")
        self._token_bytes = facts.cache_bytes(model, narrow or str(arguments["dtype"]))
        told = getattr(args, "enable_iter_perf_stats", True)
        self._steps = steps.Steps(self._stats if told else None)
        self._padded = found["cuda_graphs"]
        scripted = ["fake_engine"] if "scripted" in _imported() else []
        return Loaded(
            duration_s=duration_s,
            effective={
                **found,
                "weights": spec["weights"],
                "weights_seed": None,
                "adapter": spec.get("adapter"),
                "adapter_revision": _revision(spec.get("adapter")),
                "trust_remote_code": spec["trust_remote_code"],
                "ranks": hardware.ranks_of(spec["engine"]),
            },
            model={**model, **facts.origin(spec, folder)},
            memory=facts.load_memory(),
            devices=[f"cuda:{place}" for place in range(len(gpus))],
            flags=flags + scripted + unlike(found, strict=spec["strict"]),
        )

    def _set_caching(self, found: dict[str, Any]) -> None:
        """A cache that nobody asked for serves no pass but its own: by a salt."""
        cache = self._section.get("kv_cache_config") or {}
        self._caching = cache.get("enable_block_reuse")
        there = (found.get("kv_cache_config") or {}).get("enable_block_reuse", True)
        known = inspect.signature(self._llm.generate_async).parameters
        self._salted = there and self._caching is None and "cache_salt" in known
        told = "emptied" if self._salted else "on"
        found["prefix_caching"] = told if there else "off"

    def _stats(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._llm.get_stats(timeout=0.1)
        return found

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts, with the special tokens that the tokenizer adds."""
        encode = self._llm.tokenizer.encode
        return [list(encode(text)) for text in texts]

    def chat_tokenizer(self) -> Any:
        """The tokenizer of transformers."""
        own = self._llm.tokenizer
        return getattr(own, "tokenizer", own)

    def detokenize(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Texts of token ids, special tokens left out."""
        decode = self._llm.tokenizer.decode
        return [decode(list(row), skip_special_tokens=True) for row in ids]

    def prepare(
        self, prompts: Sequence[Sequence[int]], options: GenerateOptions
    ) -> list[Any]:
        """All prompts as one flight, apart from other passes' part of the cache.

        How many run at once is `tensorrt.max_batch_size`. With stamps and a batch size
        of 1 each request is a flight of its own.
        """
        check_lengths(
            prompts,
            options,
            context=self._model["context_length"],
            limit="the longest that it takes",
        )
        self._check_prompts(prompts)
        params = sampling(options, self._section)
        widest = self._llm.args.max_beam_width or 1
        if params.use_beam_search and params.best_of > widest:
            msg = (
                f"decoder.num_beams={params.best_of} is above "
                f"tensorrt.max_beam_width={widest}"
            )
            raise ConfigError(msg)
        flight = Flight(
            prompts=[list(one) for one in prompts],
            params=params,
            own=samplings(options, self._section),
            lora=self._lora,
            salt=f"lem-{next(_SALTS)}" if self._salted else None,
            paced=options.paced,
            stamps=options.stamps,
            limited=options.request_timeout_s is not None and params.best_of == 1,
        )
        self._steps.begin()
        if options.stamps:
            return list(flights(flight, options.batch_size, self._section))
        return [flight]

    def _check_prompts(self, prompts: Sequence[Sequence[int]]) -> None:
        """Refuse prompts that TensorRT-LLM would, before the window."""
        args, longest = self._llm.args, max(map(len, prompts))
        name = "max_num_tokens"
        if compiled.compiles(self._section):
            name = "max_input_len"
        elif args.enable_chunked_prefill:
            return
        if longest > (limit := getattr(args, name)):
            msg = f"a prompt has {longest} tokens: tensorrt.{name} is {limit}"
            raise ConfigError(msg)

    def synchronize(self) -> None:
        """Nothing is left to do: tokens are given out when they are on the host."""

    def run(self, batch: Any, options: GenerateOptions) -> Any:
        """One call for the whole flight, or one for each request that has a time."""
        assert self._loop is not None
        self._heard = [Heard() for _ in batch.prompts]
        try:
            return fly(self._llm, batch, options, self._loop, self._heard)
        except LemError:
            raise
        except Exception as error:
            raise generation_failure(error) from error

    def collect(
        self,
        batches: Sequence[Any],
        outcomes: Sequence[Any],
        spans: Sequence[tuple[int, int]],
        options: GenerateOptions,
    ) -> dict[str, Any]:
        """Completions in the order of the prompts, with what was told of the pass."""
        told = self._steps.taken()
        completions: list[Completion] = []
        outputs: list[Any] = []
        calls: list[Work] | None = []
        heard: list[Heard] = []
        for flight, outcome, span in zip(batches, outcomes, spans, strict=True):
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
        cached = cached_tokens(outputs)
        queue = steps.scheduled(told, outputs, cached, self._steps.reason)
        if queue["preemptions"]:
            calls = None  # a request that was put off is computed again
        speculates = bool(self._section.get("speculative_config"))
        return {
            "completions": completions,
            "batches": [len(flight.prompts) for flight in batches],
            "due_ns": [one.due_ns for one in heard] if options.due_ns else [],
            "padding_tokens": 0,
            "padding_told": not self._padded,
            "memory": {
                "inference_peak_mb": None,
                "reserved_peak_mb": None,
                "rss_peak_mb": rss_peak_mb(),
                "kv_cache_read_mb": steps.kv_cache_mb(told, self._token_bytes),
            },
            "work": calls,
            "native": {
                "sampling": plain(batches[0].sampled(0)) if batches else None,
                "path": "LLM.generate_async" if heard else "LLM.generate",
                "cached_prompt_tokens": cached,
                "gpu_memory_mb": steps.gpu_memory_mb(told),
                "request_times_ms": with_failed(
                    steps.request_times_ms(outputs), completions
                ),
                "at_once": self._llm.args.max_batch_size,
                "scheduler": queue,
                "speculation": steps.drafts(outputs) if speculates else None,
                "flags": self._flags(cached, queue, batches, options, heard),
            },
        }

    def _work(self, flight: Flight, outputs: Sequence[Any]) -> list[Work] | None:
        """Known where all that was computed is in what came out."""
        if self._section.get("speculative_config"):
            return None
        return work(flight, outputs, seqs=self._llm.args.max_batch_size)

    def _flags(
        self,
        cached: int | None,
        queue: Mapping[str, Any],
        batches: Sequence[Flight],
        options: GenerateOptions,
        heard: Sequence[Heard],
    ) -> list[str]:
        """What is to be said against a pass."""
        texts = max((one.params.best_of for one in batches), default=1)
        wanted = options.batch_size * texts
        most = min(wanted, sum(len(one.prompts) for one in batches) * texts)
        found = {
            "prefix_cache_hits": bool(cached) and not self._caching,
            "preempted": bool(queue["preemptions"]),
            "batch_size_limited": most > self._llm.args.max_batch_size,
            "iteration_stats_dropped": self._steps.lost,
            "itl_per_chunk": options.stamps and any(one.in_chunks for one in heard),
        }
        return [name for name, there in found.items() if there]

    def unload(self) -> None:
        """Shut TensorRT-LLM down and give its memory back."""
        llm, self._llm, self._lora = self._llm, None, None
        loop, self._loop = self._loop, None
        self._steps = steps.Steps()
        if loop is not None:
            loop.close()
        if llm is not None:
            llm.shutdown()
        del llm
        gc.collect()


def _distribution() -> str:
    owners = importlib.metadata.packages_distributions()
    return owners.get("tensorrt_llm", ["tensorrt-llm"])[0]


def _imported() -> str:
    """The version of TensorRT-LLM; EngineNotAvailable where it cannot be imported."""
    try:
        import tensorrt_llm
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        msg = f"TensorRT-LLM cannot be imported here: {reason}"
        raise EngineNotAvailable(msg) from error
    return str(tensorrt_llm.__version__)


def _known(name: str) -> Collection[str]:
    return fields_of(lookup(name))


def _compiled(
    spec: Mapping[str, Any], gpus: Sequence[hardware.Gpu], version: str
) -> tuple[Any, dict[str, Any], compiled.Compiled]:
    """The class, the arguments and the engine of a spec that has one compiled."""
    section = spec["engine"]
    kind = compiled.front(version)
    refuse_compiled(section.get("speculative_config"))
    arguments = engine_arguments(spec, known=_known("TrtLlmArgs"))
    whole = {**arguments, **compiled.build_arguments(section)}
    built = compiled.compiled(spec, whole, gpus, version, lambda all_of: kind(**all_of))
    return kind, compiled.runtime_arguments(whole, built, spec["model"]), built


def _revision(adapter: str | None) -> str | None:
    """The commit of an adapter of the hub; None for one that is not of it."""
    return None if adapter is None else located(adapter).revision
