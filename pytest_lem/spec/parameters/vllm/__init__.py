"""What can be set on vLLM beyond the universal parameters."""

from collections.abc import Iterator

from pydantic import model_validator

from pytest_lem.spec.parameters.vllm.engine import Cache, Loading, Scheduling
from pytest_lem.spec.parameters.vllm.execution import Execution, Observation, Parallel
from pytest_lem.spec.parameters.vllm.requests import (
    Adapters,
    Extra,
    Sampling,
    Speculation,
)

_GRAPHS = (
    "set cudagraph_capture_sizes, max_cudagraph_capture_size or "
    "compilation_config.cudagraph_mode"
)


_SECTIONS = ("compilation_config", "attention_config", "speculative_config")


class VllmParameters(
    Observation, Sampling, Adapters, Execution, Parallel, Scheduling, Cache, Loading
):
    """The `vllm` section; unset means vLLM's own default."""

    speculative_config: Speculation | None = None
    extra: Extra | None = None

    @model_validator(mode="after")
    def _agrees(self) -> "VllmParameters":
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        if self.quantization == "bitsandbytes":
            yield (
                "quantization=bitsandbytes: vLLM has none any more; say fp8, which "
                "quantises while loading, or load a GPTQ or AWQ checkpoint"
            )
        seqs, tokens = self.max_num_seqs, self.max_num_batched_tokens
        if seqs and tokens and tokens < seqs:
            yield f"max_num_batched_tokens={tokens} is below max_num_seqs={seqs}"
        if seqs and (self.max_num_active_seqs or 0) > seqs:
            yield "max_num_active_seqs is above max_num_seqs"
        for name in (self.extra and self.extra.engine) or ():
            if name in _SECTIONS and getattr(self, name) is not None:
                yield f"extra.engine names {name!r}, which is a section: add to that"
        yield from self._needs()

    def _needs(self) -> Iterator[str]:
        """What means nothing without another parameter."""
        if self.kv_cache_metrics_sample is not None and not self.kv_cache_metrics:
            yield "kv_cache_metrics_sample needs kv_cache_metrics=True"
        if self.request_priorities and self.scheduling_policy != "priority":
            yield "request_priorities needs scheduling_policy=priority"
        if (self.numa_bind_nodes or self.numa_bind_cpus) and not self.numa_bind:
            yield "numa_bind_nodes and numa_bind_cpus need numa_bind=True"
        if self.max_cpu_loras and self.max_cpu_loras < (self.max_loras or 1):
            yield "max_cpu_loras is below max_loras"
        if self.all2all_backend and not self.enable_expert_parallel:
            yield "all2all_backend needs enable_expert_parallel=True"

    native = {  # noqa: RUF012 - annotated in Section
        "EngineArgs": "vllm.engine.arg_utils:EngineArgs",
        "SamplingParams": "vllm:SamplingParams",
        "BeamSearchParams": "vllm.sampling_params:BeamSearchParams",
        "CompilationConfig": "vllm.config:CompilationConfig",
        "AttentionConfig": "vllm.config:AttentionConfig",
        "SpeculativeConfig": "vllm.config:SpeculativeConfig",
    }
    removed = {  # noqa: RUF012 - annotated in Section
        "swap_space": "vLLM 0.18 removed it; set kv_offloading_size",
        "max_seq_len_to_capture": f"vLLM 0.11 removed it; {_GRAPHS}",
        "best_of": "vLLM removed it; set n and logprobs",
        "use_beam_search": "vLLM removed it; set decoder.num_beams",
        "lora.extra_vocab_size": "vLLM removed it; adapters cannot add vocabulary",
        "num_scheduler_steps": "vLLM removed it; set async_scheduling",
    }
    not_covered = {  # noqa: RUF012 - annotated in Section
        "set by pytest-lem itself, from --lem-gpus": ("EngineArgs.device_ids",),
        "set by pytest-lem itself, to ask the workers": (
            "EngineArgs.worker_extension_cls",
        ),
        "made of the fields of their own sections": (
            "EngineArgs.attention_config",
            "EngineArgs.compilation_config",
            "EngineArgs.speculative_config",
        ),
        "set by another parameter": (
            "EngineArgs.attention_backend",
            "EngineArgs.seed",
            "EngineArgs.spec_method",
            "EngineArgs.spec_model",
            "EngineArgs.spec_tokens",
            "BeamSearchParams.max_tokens",
            "BeamSearchParams.temperature",
        ),
        "rare; extra.engine passes them on": (
            "EngineArgs.dbo_decode_token_threshold",
            "EngineArgs.dbo_prefill_token_threshold",
            "EngineArgs.long_prefill_token_threshold_adaptive",
            "SpeculativeConfig.synthetic_acceptance_rates",
        ),
    }
