"""How likely vLLM holds given tokens, by its `prompt_logprobs`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_lem.engines import GenerateOptions
from pytest_lem.engines.served import Heard
from pytest_lem.engines.vllm.adapters import Adapters
from pytest_lem.engines.vllm.failures import generation_failure
from pytest_lem.engines.vllm.requests import Flight
from pytest_lem.engines.vllm.streaming import fly
from pytest_lem.engines.vllm.watch import Watch, watched
from pytest_lem.errors import GenerationError


class Likelihood:
    """Tells it of prompts, after which vLLM generates one token that nobody reads.

    What it answers to requests with `prompt_logprobs` is never from its prefix cache.
    """

    _llm: Any
    _watch: Watch | None
    _adapters: Adapters | None

    @watched
    def log_probabilities(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """With the adapters that requests of a pass would have, in turn."""
        from vllm import SamplingParams, TokensPrompt

        mode = self._llm.llm_engine.vllm_config.model_config.logprobs_mode
        if not str(mode).endswith("logprobs"):
            msg = f"vLLM tells {mode}, and no log-probabilities"
            raise GenerationError(msg)
        flight = Flight(
            prompts=[TokensPrompt(prompt_token_ids=list(one)) for one in rows],
            lengths=[len(one) for one in rows],
            params=SamplingParams(
                max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False
            ),
            lora=self._adapters.of(len(rows)) if self._adapters else None,
        )
        heard = [Heard() for _ in rows]
        try:
            done = fly(self._llm, flight, GenerateOptions(output_tokens=1), heard)
        except Exception as error:
            raise generation_failure(error) from error
        told = zip(done, rows, strict=True)
        return [_of(one.prompt_logprobs, row) for one, row in told]


def _of(told: Sequence[Any] | None, row: Sequence[int]) -> list[float]:
    """Of the row's own tokens: others may stand beside them."""
    if told is None or len(told) != len(row):
        count = 0 if told is None else len(told)
        msg = f"vLLM told {count} log-probabilities of {len(row)} tokens"
        raise GenerationError(msg)
    pairs = zip(told[1:], row[1:], strict=True)
    return [float(place[token].logprob) for place, token in pairs]
