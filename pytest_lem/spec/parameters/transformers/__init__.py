"""What can be set on Hugging Face transformers beyond the universal parameters."""

from collections.abc import Iterator

from pydantic import model_validator

from pytest_lem.spec.parameters.transformers.generation import (
    Batching,
    ContinuousBatching,
    Extra,
    Generation,
    Speculation,
)
from pytest_lem.spec.parameters.transformers.left_out import LEFT_OUT
from pytest_lem.spec.parameters.transformers.loading import Loading, Running

_LIBRARY = "transformers"
_CONTINUOUS = "generation.configuration_utils:ContinuousBatchingConfig"

_OF_ASSISTANT = (
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "assistant_confidence_threshold",
)


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

    def doubts(self) -> Iterator[str]:
        """Combinations that the library takes and that tend to fail or to be slow."""
        weights = self.quantization_config
        if (
            self.torch_compile
            and weights
            and (weights.load_in_4bit or weights.load_in_8bit)
        ):
            yield "torch_compile with weights by bitsandbytes breaks the graph"
        if (
            str(self.torch_compile).startswith("max-autotune")
            and self.cache_implementation == "static"
        ):
            yield "torch_compile=max-autotune with a static cache compiles twice"
        if self.assistant_model and self.assistant_confidence_threshold != 0:
            yield (
                "assistant_model drafts as many tokens as it is sure of, so the "
                "work varies: assistant_confidence_threshold=0 fixes it"
            )

    @model_validator(mode="after")
    def _placement_agrees(self) -> "TransformersParameters":
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        placed = self.device_map is not None
        if self.max_memory is not None and not placed:
            yield "max_memory needs device_map: without it transformers ignores it"
        if placed and (self.num_processes or 1) > 1:
            yield "device_map and num_processes > 1 exclude each other"
        if placed and self.distributed_config is not None:
            yield "device_map and distributed_config exclude each other"
        for name in _OF_ASSISTANT:
            if getattr(self, name) is not None and self.assistant_model is None:
                yield f"{name} needs assistant_model"
        if self.max_matching_ngram_size and not self.prompt_lookup_num_tokens:
            yield "max_matching_ngram_size needs prompt_lookup_num_tokens"
        if self.assistant_model and self.prompt_lookup_num_tokens:
            yield "assistant_model and prompt_lookup_num_tokens exclude each other"
