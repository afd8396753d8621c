"""What can be set on TensorRT-LLM beyond the universal parameters."""

from pytest_lem.spec.parameters.tensorrt.engine import Loading, Parallel, Scheduling
from pytest_lem.spec.parameters.tensorrt.execution import (
    Adapters,
    Execution,
    Extra,
    Observation,
    Sampling,
    Speculation,
)

_LIBRARY = "tensorrt_llm"
_ARGS = f"{_LIBRARY}.llmapi.llm_args"
_NO_BUILD = (
    "TensorRT-LLM 1.3 has no build step any more; cuda_graph_config, "
    "torch_compile_config and enable_autotuner tune it"
)
_CHECKPOINT = "TensorRT-LLM takes it from the checkpoint: name a quantised model"


class TensorrtParameters(
    Observation, Sampling, Adapters, Execution, Scheduling, Parallel, Loading
):
    """The `tensorrt` section; unset means TensorRT-LLM's own default."""

    speculative_config: Speculation | None = None
    extra: Extra | None = None

    native = {  # noqa: RUF012 - annotated in Section
        "TorchLlmArgs": f"{_ARGS}:TorchLlmArgs",
        "KvCacheConfig": f"{_ARGS}:KvCacheConfig",
        "SchedulerConfig": f"{_ARGS}:SchedulerConfig",
        "CudaGraphConfig": f"{_ARGS}:CudaGraphConfig",
        "TorchCompileConfig": f"{_ARGS}:TorchCompileConfig",
        "MoeConfig": f"{_ARGS}:MoeConfig",
        "Nvfp4GemmConfig": f"{_ARGS}:Nvfp4GemmConfig",
        "DecodingBaseConfig": f"{_ARGS}:DecodingBaseConfig",
        "NGramDecodingConfig": f"{_ARGS}:NGramDecodingConfig",
        "LoraConfig": f"{_ARGS}:LoraConfig",
        "QuantConfig": f"{_LIBRARY}.llmapi:QuantConfig",
        "SamplingParams": f"{_LIBRARY}:SamplingParams",
    }
    removed = {  # noqa: RUF012 - annotated in Section
        **dict.fromkeys(
            (
                "engine_path",
                "engine_cache_dir",
                "force_rebuild",
                "builder_opt_level",
                "strongly_typed",
                "extra_build_args",
                "extra_runtime_args",
                "remove_input_padding",
                "kv_cache_type",
            ),
            _NO_BUILD,
        ),
        "max_output_len": "TensorRT-LLM has no such field; set max_seq_len",
        "quantization": _CHECKPOINT,
        "quantization.method": _CHECKPOINT,
        "quantization.calibration": _CHECKPOINT,
    }
    not_covered = {  # noqa: RUF012 - annotated in Section
        "made of the fields of their own sections": (
            "TorchLlmArgs.cuda_graph_config",
            "TorchLlmArgs.kv_cache_config",
            "TorchLlmArgs.lora_config",
            "TorchLlmArgs.moe_config",
            "TorchLlmArgs.nvfp4_gemm_config",
            "TorchLlmArgs.scheduler_config",
            "TorchLlmArgs.speculative_config",
            "TorchLlmArgs.torch_compile_config",
        ),
        "taken from the checkpoint, never set": ("QuantConfig.quant_algo",),
        "objects, which no file or option can hold": (
            "TorchLlmArgs.checkpoint_loader",
        ),
        "set by another parameter": (
            "SamplingParams.use_beam_search",
            "SamplingParams.return_perf_metrics",
        ),
        "rare; extra.engine passes them on": (
            "TorchLlmArgs.attention_dp_config",
            "MoeConfig.load_balancer",
        ),
    }
