"""How likely TensorRT-LLM holds given tokens, by the logits of prompts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_lem.engines.tensorrt.failures import generation_failure
from pytest_lem.engines.tensorrt.requests import Flight
from pytest_lem.errors import GenerationError, LemError

_SALTS = itertools.count()


class Likelihood:
    """Tells it by `return_context_logits`: `prompt_logprobs` has the likeliest only.

    An engine that was compiled gives them where it was built to gather them.
    """

    _llm: Any
    _lora: Any
    _model: Mapping[str, Any]
    _salted: bool

    def log_probabilities(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Row by row: the logits of a prompt have a number for each word there is."""
        try:
            return [self._row(list(row)) for row in rows]
        except LemError:
            raise
        except Exception as error:
            raise generation_failure(error) from error

    def _row(self, row: list[int]) -> list[float]:
        from tensorrt_llm import SamplingParams

        flight = Flight(
            prompts=[row],
            params=SamplingParams(max_tokens=1, top_k=1, return_context_logits=True),
            lora=self._lora,
            salt=f"lem-likelihood-{next(_SALTS)}" if self._salted else None,
        )
        (done,) = self._llm.generate(
            flight.prompts, flight.params, use_tqdm=False, **flight.more
        )
        return _chosen(done.context_logits, row, self._model["vocab_size"])


def _chosen(logits: Any, row: list[int], words: int) -> list[float]:
    """The log-probability of each token but the first; columns of no word are left out.

    What its cache had of a prompt has no logits: then there are too few of them.
    """
    if logits is None or len(logits) != len(row):
        count = 0 if logits is None else len(logits)
        msg = f"TensorRT-LLM gave the logits of {count} of {len(row)} tokens"
        raise GenerationError(msg)
    logs = logits[:-1, :words].float().log_softmax(dim=-1)
    pairs = zip(logs, row[1:], strict=True)
    return [float(place[token]) for place, token in pairs]
