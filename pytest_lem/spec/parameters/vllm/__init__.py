"""What can be set on vLLM beyond the universal parameters."""

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


class VllmParameters(
    Observation, Sampling, Adapters, Execution, Parallel, Scheduling, Cache, Loading
):
    """The `vllm` section; unset means vLLM's own default."""

    speculative_config: Speculation | None = None
    extra: Extra | None = None

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
