"""How likely a model of transformers holds given tokens."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from pytest_lem.engines.transformers.failures import FAILURES, generation_failure
from pytest_lem.engines.transformers.running import Running
from pytest_lem.errors import GenerationError

if TYPE_CHECKING:
    from pytest_lem.engines.transformers.compile import Compiling
    from pytest_lem.engines.transformers.continuous import Continuous

# A row of logits has a number for each word that the model knows.
_ROWS_AT_ONCE = 256


class Likelihood:
    """Tells it by one forward call of the model for each row, without pads or cache."""

    _model: Any
    _device: torch.device
    _running: Running
    _continuous: Continuous | None
    _compiled: Compiling | None

    def log_probabilities(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """By the model's own precision; the softmax of its logits is in float32."""
        if self._continuous is not None:
            msg = "continuous batching gives no logits of tokens that are given"
            raise GenerationError(msg)
        undone = self._compiled.undone() if self._compiled else nullcontext()
        try:
            with undone, torch.inference_mode(), self._running.around():
                return [self._row(row) for row in rows]
        except torch.OutOfMemoryError:
            raise
        except FAILURES as error:
            raise generation_failure(error) from error

    def _row(self, row: Sequence[int]) -> list[float]:
        ids = torch.tensor([row], device=self._device)
        logits = self._model(input_ids=ids, use_cache=False).logits[0, :-1]
        return chosen(logits, ids[0, 1:])


def chosen(logits: torch.Tensor, ids: torch.Tensor) -> list[float]:
    """The log-probability that each row of logits gives to its token."""
    told: list[float] = []
    parts = (one.split(_ROWS_AT_ONCE) for one in (logits, ids.to(logits.device)))
    for part, tokens in zip(*parts, strict=True):
        logs = torch.log_softmax(part.float(), dim=-1)
        told += logs.gather(1, tokens[:, None])[:, 0].tolist()
    return told
