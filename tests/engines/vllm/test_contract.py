"""vLLM is held to what every engine is, with the real library on the CPU."""

import pytest

pytest.importorskip("vllm")

from tests.engines.contract import EngineContract


@pytest.fixture(scope="module")
def once(start):
    """One start for all tests that need no other."""
    return start(max_num_seqs=4)


class TestVllm(EngineContract):
    """The tiny model, its core in this process."""

    @pytest.fixture
    def begun(self, once):
        """The one start."""
        return once

    @pytest.fixture
    def begin(self, start):
        """Start another engine; the one before ends."""

        def started(**changes):
            return start(max_num_seqs=4, **changes)

        return started
