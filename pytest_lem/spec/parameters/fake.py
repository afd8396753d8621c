"""The script of the fake engine."""

from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
)

Step = Literal["load", "generate", "tell", "unload"]
Fault = Literal["none", "stall", "error", "stop", "cancel", "break"]


class FakeParameters(BaseModel):
    """The `fake` section: the fields of the fake engine's script, which explains them.

    Unset leaves the script's own default. A test holds the two lists together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    load_s: NonNegativeFloat | None = None
    prefill_s: NonNegativeFloat | None = None
    token_s: NonNegativeFloat | None = None
    jitter_s: list[float] | None = None
    latency_script_s: list[NonNegativeFloat] | None = None
    fail_at: Step | None = None
    fail_kind: str | None = None
    hang_at: Step | None = None
    hang_how: Literal["sleep", "busy", "gil"] | None = None
    die_at: Step | None = None
    good_passes: NonNegativeInt | None = None
    faults: list[Fault] | None = None
    spawn_child: bool | None = None
    print_noise: bool | None = None
    prefix_caching: Literal["on", "emptied", "off"] | None = None
    perplexity: PositiveFloat | None = None
