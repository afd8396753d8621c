"""transformers is held to what every engine is, with the real library on the CPU."""

import pytest

from tests.engines.contract import EngineContract


class TestTransformers(EngineContract):
    """The tiny model in float32."""

    @pytest.fixture
    def begin(self, load):
        """Load it into an engine of its own."""
        return load
