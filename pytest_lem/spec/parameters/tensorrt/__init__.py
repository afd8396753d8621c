"""What can be set on TensorRT-LLM beyond the universal parameters."""

from collections.abc import Iterator

from pydantic import model_validator

from pytest_lem.spec.parameters.tensorrt.compiled import CALIBRATED, Compiled
from pytest_lem.spec.parameters.tensorrt.engine import Loading, Parallel, Scheduling
from pytest_lem.spec.parameters.tensorrt.execution import (
    Adapters,
    Execution,
    Extra,
    Observation,
    Sampling,
    Speculation,
)
from pytest_lem.spec.parameters.tensorrt.left_out import LEFT_OUT

_LIBRARY = "tensorrt_llm"
_ARGS = f"{_LIBRARY}.llmapi.llm_args"
_BITS = (
    "TensorRT-LLM has no bitsandbytes: load a quantised checkpoint, or set "
    "tensorrt.quantization.method where it compiles engines (up to 1.2)"
)
_WITH_MODEL = ("Draft_Target", "Eagle3", "PARD")


class TensorrtParameters(
    Observation,
    Sampling,
    Adapters,
    Execution,
    Scheduling,
    Parallel,
    Loading,
    Compiled,
):
    """The `tensorrt` section; unset means TensorRT-LLM's own default."""

    speculative_config: Speculation | None = None
    extra: Extra | None = None

    @property
    def compiles(self) -> bool:
        """Whether an engine is compiled: that was said, or something that needs it."""
        told = {
            name for name in Compiled.model_fields if getattr(self, name) not in _NO
        }
        build = self.extra is not None and self.extra.build is not None
        return self.backend == "tensorrt" or bool(told - {"backend"}) or build

    @model_validator(mode="after")
    def _agrees(self) -> "TensorrtParameters":
        problems = [*self._problems(), *self._problems_of_builds()]
        if self.speculative_config is not None:
            problems += _problems_of_drafts(self.speculative_config)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        if self.best_of is not None and self.best_of < (self.n or 1):
            yield f"best_of={self.best_of} is below n={self.n}"
        if self.enable_iter_req_stats and self.enable_iter_perf_stats is False:
            yield "enable_iter_req_stats needs enable_iter_perf_stats"
        graphs = self.cuda_graph_config
        if graphs and graphs.batch_sizes and graphs.max_batch_size:
            largest = max(graphs.batch_sizes)
            if graphs.max_batch_size != largest:
                yield (
                    f"cuda_graph_config.max_batch_size={graphs.max_batch_size} has to "
                    f"be the largest of batch_sizes, {largest}"
                )

    def _problems_of_builds(self) -> Iterator[str]:
        if not self.compiles:
            return
        if self.backend == "pytorch":
            yield (
                "backend=pytorch compiles nothing: say backend=tensorrt, or leave out "
                "what is about builds"
            )
        if self.kv_cache_config and self.kv_cache_config.dtype not in (None, "auto"):
            yield "kv_cache_config.dtype: a compiled engine has kv_cache_quant_algo"
        quantised = self.quantization
        method = quantised.method if quantised else None
        calibrates = quantised is not None and quantised.calibration is not None
        if method == "int8_sq" and not calibrates:
            yield "quantization.method=int8_sq needs quantization.calibration"
        if calibrates and method not in CALIBRATED:
            yield f"quantization.calibration needs a method of {', '.join(CALIBRATED)}"
        if self.engine_path is not None and (quantised or self.force_rebuild):
            yield "engine_path is compiled already: nothing is quantised or rebuilt"

    native = {  # noqa: RUF012 - annotated in Section
        **{
            name: f"{_ARGS}:{name}"
            for name in (
                "TorchLlmArgs",
                "TrtLlmArgs",
                "KvCacheConfig",
                "SchedulerConfig",
                "CudaGraphConfig",
                "TorchCompileConfig",
                "MoeConfig",
                "Nvfp4GemmConfig",
                "DecodingBaseConfig",
                "NGramDecodingConfig",
                "MTPDecodingConfig",
                "LoraConfig",
                "CalibConfig",
                "BuildConfig",
            )
        },
        "PluginConfig": f"{_LIBRARY}.plugin.plugin:PluginConfig",
        "QuantConfig": f"{_LIBRARY}.llmapi:QuantConfig",
        "LoRARequest": f"{_LIBRARY}.executor.request:LoRARequest",
        "SamplingParams": f"{_LIBRARY}:SamplingParams",
        "generate": f"{_LIBRARY}:LLM.generate",
        "generate_async": f"{_LIBRARY}:LLM.generate_async",
    }
    removed = {  # noqa: RUF012 - annotated in Section
        "builder_opt_level": "no TensorRT-LLM from 1.2 on has it; set fast_build",
        "max_output_len": "TensorRT-LLM has no such field; set max_seq_len",
        "quantization.calibration.split": "TensorRT-LLM chooses the split itself",
        "sampler_type": "TensorRT-LLM 1.3 removed it; extra.engine passes it on",
        "load_in_4bit": _BITS,
        "load_in_8bit": _BITS,
        "quantization_config": _BITS,
    }
    not_covered = LEFT_OUT


_NO = (None, False)


def _problems_of_drafts(given: Speculation) -> Iterator[str]:
    kind, where = given.decoding_type, "speculative_config"
    if kind is None:
        yield f"{where}.decoding_type is missing: who drafts?"
    if kind in _WITH_MODEL and given.speculative_model is None:
        yield f"{where}.decoding_type={kind} needs speculative_model"
    if given.max_concurrency is not None and given.draft_len_schedule is not None:
        yield f"{where}.max_concurrency and draft_len_schedule exclude each other"
