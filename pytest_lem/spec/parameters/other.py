"""The section of an engine that comes from elsewhere."""

from pydantic import BaseModel, ConfigDict


class OtherParameters(BaseModel):
    """A third-party engine's section, checked by that engine itself."""

    model_config = ConfigDict(frozen=True, extra="allow")
