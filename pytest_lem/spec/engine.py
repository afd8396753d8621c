"""Which engine, with which model loaded how."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

DEFAULT_MODEL = "synthetic:llama-tiny"

Precision = Literal["float32", "float16", "bfloat16"]
_SHORT_PRECISION = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


class EngineSpec(BaseModel):
    """All that decides what a freshly loaded engine is; equal specs share a load."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: str
    model: str = Field(default=DEFAULT_MODEL, min_length=1)
    precision: Precision | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    engine: dict[str, Any] = Field(default_factory=dict)
    """The backend's own section, checked by its model in `parameters`."""

    @field_validator("precision", mode="before")
    @classmethod
    def _spell_out(cls, value: object) -> object:
        return _SHORT_PRECISION.get(value, value) if isinstance(value, str) else value
