"""TensorRT-LLM is held to what every engine is, with a library that is scripted."""

import pytest

from tests.engines.contract import EngineContract


class TestTensorrt(EngineContract):
    """As its signatures were recorded: no real TensorRT-LLM was run."""

    @pytest.fixture
    def directly(self):
        """By the script's own logits, without the columns that are no words."""
        torch = pytest.importorskip("torch")

        def told(row):
            columns = torch.arange(384)
            logits = [(token * 31 + columns * 17) % 97 / 10 for token in row[:-1]]
            logs = torch.log_softmax(torch.stack(logits).half().float(), -1)
            return logs[range(len(row) - 1), row[1:]].tolist()

        return told

    @pytest.fixture(params=["1.3", "1.4"])
    def begin(self, start, request):
        """Load the tiny model as one of the recorded versions does."""

        def started(**changes):
            return start(request.param, max_batch_size=4, **changes)

        return started
