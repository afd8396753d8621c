"""TensorRT-LLM is held to what every engine is, with a library that is scripted."""

import pytest

from tests.engines.contract import EngineContract


class TestTensorrt(EngineContract):
    """As its signatures were recorded: no real TensorRT-LLM was run."""

    @pytest.fixture(params=["1.3", "1.4"])
    def begin(self, start, request):
        """Load the tiny model as one of the recorded versions does."""

        def started(**changes):
            return start(request.param, max_batch_size=4, **changes)

        return started
