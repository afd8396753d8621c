"""What a request has to meet to count as good."""

from typing import Any

from pydantic import model_serializer, model_validator

from pytest_lem.spec.parameters.about import HARNESS, Float, Section, parameter


class Slo(Section):
    """What a request has to meet, all of it, to count as good."""

    ttft_ms: Float | None = parameter(
        HARNESS,
        "Most time to the first token.",
        effect="",
        unit="ms",
        needs="streaming.",
        gt=0,
        allow_inf_nan=False,
    )
    tpot_ms: Float | None = parameter(
        HARNESS,
        "Most time per token after the first, on the mean of a request.",
        effect="",
        unit="ms",
        needs="streaming.",
        gt=0,
        allow_inf_nan=False,
    )
    itl_p95_ms: Float | None = parameter(
        HARNESS,
        "Most that the 95th percentile of a request's gaps between tokens may be.",
        effect="",
        unit="ms",
        needs="streaming.",
        gt=0,
        allow_inf_nan=False,
    )
    e2e_ms: Float | None = parameter(
        HARNESS,
        "Most time from sent to the end.",
        effect="",
        unit="ms",
        gt=0,
        allow_inf_nan=False,
    )

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, in milliseconds."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def of_tokens(self) -> list[str]:
        """The names of those that need a time for each token."""
        return [name for name in self.limits if name != "e2e_ms"]

    @model_validator(mode="after")
    def _limits_something(self) -> "Slo":
        if not self.limits:
            msg = f"it has no limit: set one of {', '.join(type(self).model_fields)}"
            raise ValueError(msg)
        return self

    @model_serializer(mode="plain")
    def _set_ones(self) -> dict[str, Any]:
        """Only what is set: an option added later changes no old record."""
        return dict(self.limits)
