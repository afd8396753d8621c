"""Which engine, with which model loaded how."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pytest_lem.spec.parameters.about import parameter

DEFAULT_MODEL = "synthetic:llama-tiny"

Precision = Literal["float32", "float16", "bfloat16"]
_SHORT_PRECISION = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def _to(argument: str) -> dict[str, str]:
    """An argument that every engine takes when it loads a model."""
    return {
        "transformers": f"from_pretrained.{argument}",
        "vllm": f"EngineArgs.{argument}",
        "tensorrt": f"TorchLlmArgs.{argument}",
    }


class EngineSpec(BaseModel):
    """All that decides what a freshly loaded engine is; equal specs share a load."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: str
    model: str = parameter(
        {
            **_to("model"),
            "transformers": "from_pretrained.pretrained_model_name_or_path",
        },
        "Hub id, local path, or synthetic:NAME.",
        effect="E~ T~ L~ M~",
        default=DEFAULT_MODEL,
        older=("/model_name",),
        min_length=1,
    )
    precision: Precision | None = parameter(
        _to("dtype"),
        "Type of weights and products; fp32, fp16 and bf16 for short.",
        effect="E~ T~ L~ M~",
        own="float16 on GPUs, float32 on CPUs",
        advice="16 bits on GPUs: half the memory, faster, less energy.",
        older=(
            "/fp_precision",
            "/transformers.dtype",
            "/transformers.torch_dtype",
            "/vllm.dtype",
            "/tensorrt.dtype",
        ),
    )
    revision: str | None = parameter(
        _to("revision"),
        "Branch, tag or commit of the model.",
        effect="",
        own="main",
        advice="A commit, so that a rerun is the same; local paths ignore it.",
    )
    trust_remote_code: bool = parameter(
        _to("trust_remote_code"),
        "Let the model's own code run.",
        effect="",
        default=False,
    )
    adapter: str | None = parameter(
        {
            "transformers": "PeftModel.from_pretrained",
            "vllm": "LoRARequest.lora_path",
            "tensorrt": "LoRARequest.lora_path",
        },
        "LoRA adapter on top of the model: hub id or path.",
        effect="E+ T- L+ M+",
        own="none",
        advice="owner/name@COMMIT, so that a rerun is the same.",
    )
    engine: dict[str, Any] = Field(default_factory=dict)
    """The backend's own section, checked by its model in `parameters`; plain JSON."""

    @field_validator("precision", mode="before")
    @classmethod
    def _spell_out(cls, value: object) -> object:
        return _SHORT_PRECISION.get(value, value) if isinstance(value, str) else value
