"""What can be set on Hugging Face transformers beyond the universal parameters."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class TransformersParameters(BaseModel):
    """The `transformers` section; unset means the library's own default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")] | None = None
    """`cpu`, `cuda` or `cuda:N`; unset takes the GPU where there is one."""

    attn_implementation: str | None = None
    """Attention kernel, as `from_pretrained` names it: `eager`, `sdpa`, ..."""
