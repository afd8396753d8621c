"""What can be set on Hugging Face transformers beyond the universal parameters."""

from collections.abc import Iterator

from pydantic import model_validator

from pytest_lem.spec.notes import Note
from pytest_lem.spec.parameters.transformers.generation import (
    Batching,
    ContinuousBatching,
    Extra,
    Generation,
    Speculation,
)
from pytest_lem.spec.parameters.transformers.left_out import LEFT_OUT
from pytest_lem.spec.parameters.transformers.loading import Loading, Running

_KEPT = (
    "output_scores",
    "output_logits",
    "output_hidden_states",
    "output_attentions",
)
_LIBRARY = "transformers"
_CONTINUOUS = "generation.configuration_utils:ContinuousBatchingConfig"

_NEEDS = {
    "num_assistant_tokens": "assistant_model",
    "num_assistant_tokens_schedule": "assistant_model",
    "assistant_confidence_threshold": "assistant_model",
    "max_matching_ngram_size": "prompt_lookup_num_tokens",
    "torch_compile_backend": "torch_compile",
    "torch_compile_fullgraph": "torch_compile",
    "torch_compile_dynamic": "torch_compile",
    "torch_compile_options": "torch_compile",
}
"""What means nothing without another."""


class TransformersParameters(Speculation, Generation, Running, Loading):
    """The `transformers` section; unset means the library's own default."""

    continuous_batching: ContinuousBatching | None = None
    batching: Batching | None = None
    extra: Extra | None = None

    native = {  # noqa: RUF012 - annotated in Section
        "from_pretrained": f"{_LIBRARY}.modeling_utils:PreTrainedModel.from_pretrained",
        "GenerationConfig": f"{_LIBRARY}:GenerationConfig",
        "CompileConfig": f"{_LIBRARY}:CompileConfig",
        "ContinuousBatchingConfig": f"{_LIBRARY}.{_CONTINUOUS}",
        "BitsAndBytesConfig": f"{_LIBRARY}:BitsAndBytesConfig",
        "DistributedConfig": f"{_LIBRARY}.distributed:DistributedConfig",
        "generate": f"{_LIBRARY}:GenerationMixin.generate",
        "torch.compile": "torch:compile",
        "torch.autocast": "torch:autocast",
        "torch.set_float32_matmul_precision": "torch:set_float32_matmul_precision",
        "torch.nn.attention.sdpa_kernel": "torch.nn.attention:sdpa_kernel",
    }
    removed = {  # noqa: RUF012 - annotated in Section
        "low_cpu_mem_usage": "transformers 5 always loads that way; leave it out",
        "use_bettertransformer": "transformers has none any more; set "
        "attn_implementation='sdpa'",
        "to_bettertransformer": "transformers has none any more; set "
        "attn_implementation='sdpa'",
    }
    not_covered = LEFT_OUT

    def doubts(self) -> Iterator[Note]:
        """Combinations that the library takes and that tend to fail or to be slow."""
        weights = self.quantization_config
        if (
            self.torch_compile
            and weights
            and (weights.load_in_4bit or weights.load_in_8bit)
        ):
            yield Note(
                path="torch_compile",
                message="torch_compile with weights by bitsandbytes breaks the graph",
                suggestion="leave one of them out",
            )
        if (
            str(self.torch_compile).startswith("max-autotune")
            and self.cache_implementation == "static"
        ):
            yield Note(
                path="torch_compile",
                message="torch_compile=max-autotune with a static cache compiles twice",
                suggestion="give disable_compile=True beside it",
            )
        if self.assistant_model and self.assistant_confidence_threshold != 0:
            yield Note(
                path="assistant_confidence_threshold",
                message="assistant_model drafts as many tokens as it is sure of, so "
                "the work varies",
                suggestion="assistant_confidence_threshold=0 fixes it",
            )

    @model_validator(mode="after")
    def _placement_agrees(self) -> "TransformersParameters":
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        yield from self._of_places()
        yield from self._of_drafts()
        yield from self._of_torch()
        yield from self._of_caches()

    def _of_places(self) -> Iterator[str]:
        placed = self.device_map is not None
        if self.max_memory is not None and not placed:
            yield "max_memory needs device_map: without it transformers ignores it"
        if placed and (self.num_processes or 1) > 1:
            yield "device_map and num_processes > 1 exclude each other"
        for name in ("distributed_config", "device"):
            if placed and getattr(self, name) is not None:
                yield f"device_map and {name} exclude each other"
        for name in ("offload_folder", "offload_buffers"):
            if getattr(self, name) is not None and not placed:
                yield f"{name} needs device_map"
        yield from self._of_ranks()
        if self.kernel_config is not None and not self.use_kernels:
            yield "kernel_config needs use_kernels=True"

    def _of_ranks(self) -> Iterator[str]:
        cut = self.distributed_config
        counts = (self.num_processes or 1, (cut.tp_size if cut else None) or 1)
        if min(counts) > 1:
            yield "num_processes and distributed_config.tp_size exclude each other"
        if max(counts) > 1 and self.device not in (None, "cpu", "cuda"):
            yield f"device={self.device}: each process has one GPU, say cuda or nothing"

    def _of_drafts(self) -> Iterator[str]:
        for name, needed in _NEEDS.items():
            if getattr(self, name) is not None and not getattr(self, needed):
                yield f"{name} needs {needed}"
        if self.assistant_model and self.prompt_lookup_num_tokens:
            yield "assistant_model and prompt_lookup_num_tokens exclude each other"
        if self.assistant_early_exit and (
            self.assistant_model or self.prompt_lookup_num_tokens
        ):
            yield "assistant_early_exit and other drafts exclude each other"

    def _of_torch(self) -> Iterator[str]:
        if self.torch_compile_options and self.torch_compile not in (None, True, False):
            yield "torch_compile_options and a mode of torch_compile exclude each other"
        if self.float32_matmul_precision is not None and self.allow_tf32 is not None:
            yield "float32_matmul_precision and allow_tf32 are one setting: give one"
        if self.autocast_dtype is not None and not self.autocast_enabled:
            yield "autocast_dtype needs autocast_enabled=True"
        if self.sdpa_kernel and self.attn_implementation not in (None, "sdpa"):
            yield "sdpa_kernel needs attn_implementation='sdpa'"

    def _of_caches(self) -> Iterator[str]:
        cache = self.cache_implementation
        if self.use_cache is False and cache is not None:
            yield "cache_implementation means nothing with use_cache=False"
        if self.cache_config is not None and cache != "quantized":
            yield "cache_config needs cache_implementation='quantized'"
        fixed = cache in ("static", "offloaded_static")
        if self.max_cache_len is not None and not fixed:
            yield "max_cache_len needs cache_implementation='static'"
        if self.compile_config is not None and not fixed:
            yield "compile_config needs cache_implementation='static'"
        if self.compile_config is not None and self.disable_compile:
            yield "compile_config and disable_compile exclude each other"
        for name in _KEPT:
            if getattr(self, name) and not self.return_dict_in_generate:
                yield f"{name} needs return_dict_in_generate=True"
        if self.output_attentions and self.attn_implementation != "eager":
            yield "output_attentions needs attn_implementation='eager'"
