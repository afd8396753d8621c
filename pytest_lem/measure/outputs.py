"""The texts that a cycle's windows made, where somebody wants to keep them."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_lem.errors import LemError
from pytest_lem.measure.laboratory import Bench, Laboratory
from pytest_lem.measure.notebook import Notebook
from pytest_lem.measure.watching import profile_name
from pytest_lem.measure.window import Pass


def save_outputs(lab: Laboratory, notes: Notebook, bench: Bench) -> None:
    """Write a line of JSON for each request of the cycle, if that was asked for.

    Nothing of it enters a window. Where it fails the cycle is flagged and still counts.
    """
    folder = lab.conditions.save_outputs
    if folder is None:
        return
    lab.progress.phase("keep texts")
    stem = Path(profile_name(notes.experiment.id)).stem
    path = folder.absolute() / f"{stem}-cycle-{notes.index}.jsonl"
    try:
        lines = [json.dumps(one, ensure_ascii=False) for one in _rows(notes, bench)]
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{one}\n" for one in lines), encoding="utf-8")
    except (LemError, OSError) as error:
        reason = error.kind if isinstance(error, LemError) else "not_writable"
        notes.nulls["prompts.outputs_path"] = reason
        notes.flags.add("outputs_not_saved")
        return
    notes.outputs_path = str(path)


def _rows(notes: Notebook, bench: Bench) -> Iterator[dict[str, Any]]:
    done = [
        (run, k, one)
        for run in notes.passes
        for k, one in enumerate(run.generation.completions)
    ]
    texts = bench.client.detokenize([one.output_ids for _, _, one in done])
    for (run, k, one), text in zip(done, texts, strict=True):
        yield {
            "window": run.index,
            "kind": run.kind,
            "request": k,
            "input_tokens": one.input_tokens,
            "output_tokens": one.output_tokens,
            "finish_reason": one.finish_reason,
            "outcome": one.outcome,
            "error": one.error,
            "text": text,
            "token_ids": one.output_ids,
            "log_probabilities": _logs(notes, run, k),
        }


def _logs(notes: Notebook, run: Pass, request: int) -> list[float | None] | None:
    """Of the request's tokens, where the model judged them; null for an impossible."""
    if run is not notes.energy_passes[0] or request not in notes.log_probabilities:
        return None
    return [
        one if math.isfinite(one) else None for one in notes.log_probabilities[request]
    ]
