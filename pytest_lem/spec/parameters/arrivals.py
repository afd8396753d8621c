"""When requests are sent: the parameters of an open loop."""

from typing import Any, Literal

from pydantic import model_serializer, model_validator

from pytest_lem.spec.parameters.about import HARNESS, Float, Int, Section, parameter

_NEEDED = {
    "constant": ("rate_rps",),
    "poisson": ("rate_rps",),
    "gamma": ("rate_rps", "burstiness"),
    "trace": ("file",),
}
_IDLE = {
    "constant": ("burstiness", "file"),
    "poisson": ("burstiness", "file"),
    "gamma": ("file",),
    "trace": ("rate_rps", "burstiness", "end_rate_rps", "ramp", "seed"),
}


class Arrivals(Section):
    """When requests are sent, whether or not earlier ones are done.

    Unset is all requests of a window at once.
    """

    mode: Literal["constant", "poisson", "gamma", "trace"] = parameter(
        HARNESS,
        "Law of the gaps between requests.",
        effect="E~ T~ L~",
        default="poisson",
        older=("/traffic.mode", "/traffic_simulation.mode"),
    )
    rate_rps: Float | None = parameter(
        HARNESS,
        "Requests in a second, on the mean.",
        effect="E- T+ L+",
        unit="requests/s",
        needs="every mode but trace.",
        older=("/traffic.qps", "/traffic_simulation.target_qps"),
        gt=0,
        allow_inf_nan=False,
    )
    burstiness: Float | None = parameter(
        HARNESS,
        "Shape of the gamma law: below 1 requests come in bursts, 1 is poisson, "
        "above they come evenly.",
        effect="L-",
        needs="mode=gamma.",
        gt=0,
        allow_inf_nan=False,
    )
    end_rate_rps: Float | None = parameter(
        HARNESS,
        "The rate that the last gap of a window has, where it changes from the first "
        "gap on.",
        effect="E~ T~ L~",
        unit="requests/s",
        needs="rate_rps.",
        gt=0,
        allow_inf_nan=False,
    )
    ramp: Literal["linear", "exponential"] | None = parameter(
        HARNESS,
        "How the rate changes from request to request: by a sum, or by a factor.",
        effect="",
        own="linear",
        needs="end_rate_rps.",
    )
    file: str | None = parameter(
        HARNESS,
        "A text file with the times of requests in seconds, one a line.",
        effect="E~ T~ L~",
        needs="mode=trace.",
    )
    seed: Int | None = parameter(
        HARNESS,
        "Seed of the gaps.",
        effect="",
        own="seed",
        older=("/traffic.seed", "/traffic_simulation.seed"),
        ge=0,
    )

    @property
    def shape(self) -> float | None:
        """Shape of the gamma law that gaps follow, 1 for poisson; None for none."""
        return {"poisson": 1.0, "gamma": self.burstiness}.get(self.mode)

    @model_validator(mode="after")
    def _agree(self) -> "Arrivals":
        wanted, idle = _NEEDED[self.mode], _IDLE[self.mode]
        for name in (one for one in wanted if getattr(self, one) is None):
            msg = f"mode={self.mode} needs {name}"
            raise ValueError(msg)
        for name in (one for one in idle if getattr(self, one) is not None):
            msg = f"{name} means nothing with mode={self.mode}"
            raise ValueError(msg)
        if self.ramp is not None and self.end_rate_rps is None:
            msg = f"ramp={self.ramp} needs end_rate_rps"
            raise ValueError(msg)
        return self

    @model_serializer(mode="plain")
    def _set_ones(self) -> dict[str, Any]:
        """Only what is set: an option added later changes no old record."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if value is not None}
