"""What the loaded model makes of a text and of its own outputs, after the windows.

The engine and its precision are those of the windows. Nothing of it enters a window,
and its energy is in no figure.
"""

import time
from collections.abc import Sequence
from itertools import chain

from pytest_lem.analysis.quality import Stretch, perplexity, stretches
from pytest_lem.errors import GenerationError, LemError
from pytest_lem.measure.laboratory import Bench, Laboratory
from pytest_lem.measure.notebook import Notebook
from pytest_lem.measure.prompting import prompts_for
from pytest_lem.records.quality import CycleQuality, Perplexity
from pytest_lem.workload.held_out import HeldOut
from pytest_lem.workload.prompts import token_sha256

NAMES = tuple(CycleQuality.model_fields)
_TOKENS_AT_ONCE = 8192

Rows = Sequence[Sequence[int]]


class _Unknown(Exception):
    """Why there is no perplexity, in the word of a record."""


def look_at_quality(lab: Laboratory, notes: Notebook, bench: Bench) -> None:
    """Judge the text and the first energy window's outputs, where that was asked.

    What fails is told by its kind and flags the cycle, which still counts. After a
    failure the engine is not used again.
    """
    text = lab.conditions.held_out
    if text is None:
        return
    lab.progress.phase("perplexity")
    if bench.model.synthetic:
        notes.flags.add("synthetic_perplexity")
    found: dict[str, Perplexity] = {}
    try:
        for name in NAMES:
            try:
                of_text = name == "perplexity"
                told = _of_text(bench, text) if of_text else _of_outputs(notes, bench)
            except _Unknown as reason:
                notes.nulls[f"quality.{name}"] = str(reason)
            else:
                found[name] = told
                if told.value is None:
                    notes.nulls[f"quality.{name}"] = "not_finite"
    except LemError as error:
        for name in NAMES:
            notes.nulls.setdefault(f"quality.{name}", error.kind)
        notes.flags.add("quality_failed")
    notes.quality = CycleQuality(**found)


def note_no_quality(lab: Laboratory, notes: Notebook) -> None:
    """Say why each perplexity is null that is, where that is not said yet."""
    asked = lab.conditions.held_out is not None
    reason = "cycle_not_complete" if asked else "not_asked_for"
    for name, told in notes.quality:
        if told is None:
            notes.nulls.setdefault(f"quality.{name}", reason)


def _of_text(bench: Bench, text: HeldOut) -> Perplexity:
    start_s = time.monotonic()
    (ids,) = bench.client.tokenize([text.text])
    window = min(text.window_tokens, _longest(bench))
    stride = min(text.stride_tokens, window)
    parts = list(stretches(len(ids), window=window, stride=stride))
    if not parts:
        raise _Unknown("text_too_short")
    rows = [ids[one.start : one.end] for one in parts]
    told = _told(bench, rows)
    logs = [_counted(part, row) for part, row in zip(parts, told, strict=True)]
    return Perplexity(
        value=perplexity(chain.from_iterable(logs)),
        tokens=sum(one.counted for one in parts),
        sha256=text.sha256,
        text=text.name,
        window_tokens=window,
        stride_tokens=stride,
        duration_s=time.monotonic() - start_s,
    )


def _counted(part: Stretch, row: Sequence[float]) -> Sequence[float]:
    return row[len(row) - part.counted :]


def _of_outputs(notes: Notebook, bench: Bench) -> Perplexity:
    """Of the requests that completed; what the model's context cannot hold is cut."""
    start_s = time.monotonic()
    asked, done = _requests(notes, bench)
    if not done:
        raise _Unknown("no_output")
    longest = _longest(bench)
    rows = [[*asked[k], *ids][:longest] for k, ids in done.items()]
    told = _told(bench, rows)
    for (k, _), row in zip(done.items(), told, strict=True):
        notes.log_probabilities[k] = row[len(asked[k]) - 1 :]
    logs = notes.log_probabilities.values()
    return Perplexity(
        value=perplexity(chain.from_iterable(logs)),
        tokens=sum(map(len, logs)),
        sha256=token_sha256(list(done.values())),
        requests=len(done),
        duration_s=time.monotonic() - start_s,
    )


def _requests(notes: Notebook, bench: Bench) -> tuple[Rows, dict[int, list[int]]]:
    """Prompts of the first energy window, and the outputs of those that completed."""
    if "custom_loop" in notes.flags:
        raise _Unknown("custom_loop")
    workload, run = notes.experiment.workload, notes.energy_passes[0]
    count = workload.request_count
    asked = prompts_for(workload, bench, notes.draw, run.index, count).prompts
    if token_sha256(asked) != run.token_sha256:
        raise GenerationError("the prompts of a window could not be made again")
    completions = run.generation.completions
    if any(one.texts > 1 for one in completions):
        raise _Unknown("several_texts_of_a_prompt")
    done = {
        k: one.output_ids
        for k, one in enumerate(completions)
        if one.outcome == "completed" and one.output_ids
    }
    return asked, done


def _told(bench: Bench, rows: Rows) -> list[list[float]]:
    """Log-probabilities of rows, asked for in parts that each end soon."""
    told: list[list[float]] = []
    part: list[Sequence[int]] = []
    for k, row in enumerate(rows):
        part.append(row)
        last = k + 1 == len(rows)
        if last or sum(map(len, part)) + len(rows[k + 1]) > _TOKENS_AT_ONCE:
            found = bench.client.log_probabilities(part)
            if found is None:
                raise _Unknown("engine_tells_no_likelihood")
            told += found
            part = []
    return told


def _longest(bench: Bench) -> int:
    """Tokens of a row: engines keep room for one that is generated."""
    context = bench.loaded.model.get("context_length")
    return int(context) - 1 if context else _TOKENS_AT_ONCE
