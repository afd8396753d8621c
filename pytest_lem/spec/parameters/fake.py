"""The script of the fake engine."""

from pydantic import BaseModel, ConfigDict


class FakeParameters(BaseModel):
    """The `fake` section: a script, checked by the fake engine itself."""

    model_config = ConfigDict(frozen=True, extra="allow")
