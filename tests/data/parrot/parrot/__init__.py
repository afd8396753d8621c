"""A backend and a meter for pytest-lem."""

from pytest_lem.engines import Capabilities
from pytest_lem.engines.registry import EngineEntry

PARROT = EngineEntry(
    name="parrot",
    target="parrot.engine:Parrot",
    capabilities=Capabilities(streaming="tokens"),
)
