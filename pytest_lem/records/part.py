"""What all parts of a record have in common."""

from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    FiniteFloat,
    ValidationInfo,
    model_validator,
)

Number = FiniteFloat | None
Json = dict[str, Any]


class Part(BaseModel):
    """A part of a record: fixed keys, and groups of others under `x_*`.

    Groups without a schema of their own hold what engines and meters tell; a number
    that is none (NaN, infinity) is written as null there, since JSON has no word for
    it.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        json_schema_serialization_defaults_required=True,
        json_schema_extra={
            "patternProperties": {"^x_": {}},
            "additionalProperties": False,
        },
    )

    @model_validator(mode="after")
    def _others_are_named(self, info: ValidationInfo) -> "Part":
        if (info.context or {}).get("newer"):
            return self
        strange = [key for key in self.model_extra or {} if not key.startswith("x_")]
        if strange:
            msg = f"unknown key {strange[0]!r}; groups of others are named x_*"
            raise ValueError(msg)
        return self
