"""A plugin of vLLM's that stamps each step, in a bare script and in a worker alike.

When an engine has nothing left to do, it writes what passed between the ends of its
steps as a line of `$LEM_STEPS`: nanoseconds, as JSON.
"""

import json
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any


def install() -> None:
    """Have every `LLMEngine` of this process do so."""
    path = os.environ.get("LEM_STEPS")
    if path is None:
        return
    from vllm.v1.engine.llm_engine import LLMEngine

    plain, ends_ns = LLMEngine.step, []

    def step(self: Any) -> Any:
        outputs = plain(self)
        ends_ns.append(time.monotonic_ns())
        if not self.has_unfinished_requests():
            between = [b - a for a, b in pairwise(ends_ns)]
            with Path(path).open("a") as file:
                print(json.dumps(between), file=file)
            ends_ns.clear()
        return outputs

    LLMEngine.step = step
