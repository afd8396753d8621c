"""What is asked of the engine in one window."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1, strict=True)]


class Workload(BaseModel):
    """The requests of one window: how many, how long, how batched.

    Without `prompts`, prompts are synthetic token ids of exactly `input_tokens`. With
    `prompts` (a text file's path, or a list of texts), `input_tokens` is a limit that
    longer prompts are cut to, and unset means no cut.

    The output length is forced to `output_tokens` so that engines do equal work;
    `min_output_tokens` below it (0 for none) lets an end token stop earlier.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_tokens: Count | None = None
    output_tokens: Count = 128
    min_output_tokens: Annotated[int, Field(ge=0, strict=True)] | None = None
    batch_size: Count = 1
    requests: Count | None = None
    prompts: str | list[str] | None = None
    streaming: bool = False
    streaming_warmup_requests: Annotated[int, Field(ge=0, strict=True)] = 5
    decoder: dict[str, Any] = Field(default_factory=dict)
    seed: Annotated[int, Field(ge=0, strict=True)] = 42

    @model_validator(mode="after")
    def _lengths_agree(self) -> "Workload":
        if (self.min_output_tokens or 0) > self.output_tokens:
            msg = (
                f"min_output_tokens={self.min_output_tokens} is above "
                f"output_tokens={self.output_tokens}"
            )
            raise ValueError(msg)
        if isinstance(self.prompts, list) and not any(p.strip() for p in self.prompts):
            msg = "prompts is a list without any text"
            raise ValueError(msg)
        return self

    @property
    def request_count(self) -> int:
        """Requests in one window: `requests`, or one batch."""
        return self.requests or self.batch_size

    @property
    def synthetic_input_tokens(self) -> int:
        """Length of synthetic prompts: `input_tokens`, or 128."""
        return self.input_tokens or 128

    @property
    def forced_min_tokens(self) -> int:
        """The least tokens each request must give: all, unless said otherwise."""
        if self.min_output_tokens is None:
            return self.output_tokens
        return self.min_output_tokens

    def prompt_file(self, root: Path) -> Path | None:
        """The prompt file, taken relative to `root`; None for lists and synthetic."""
        return root / self.prompts if isinstance(self.prompts, str) else None
