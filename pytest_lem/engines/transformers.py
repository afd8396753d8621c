"""transformers (PyTorch): batches, each one call of `model.generate`."""

from __future__ import annotations

import gc
import importlib.metadata
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import GenerationConfig
from transformers.generation.streamers import BaseStreamer

from pytest_lem.analysis.flops import Work
from pytest_lem.engines import Completion, GenerateOptions, Loaded
from pytest_lem.engines import transformers_counting as counting
from pytest_lem.engines import transformers_loading as loading
from pytest_lem.engines.transformers_continuous import Continuous
from pytest_lem.engines.transformers_drafting import Drafting, drafted, drafting
from pytest_lem.engines.transformers_requests import (
    Batch,
    Outcome,
    check_lengths,
    completions_of,
    extended,
    in_order,
    left_padded,
)
from pytest_lem.errors import ConfigError, GenerationError, LemError, OutOfMemory
from pytest_lem.workload.batching import layout

DECODER_KEYS = (
    "do_sample",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "num_beams",
)

_PACKAGES = ("accelerate", "tokenizers", "safetensors", "huggingface_hub")


class TransformersEngine:
    """A causal language model on one device, asked for whole batches at a time."""

    def __init__(self) -> None:
        self._model: Any = None
        self._tokenizer: Any = None
        self._device = torch.device("cpu")
        self._gpus: list[int] = []
        self._context: int | None = None
        self._batching: Mapping[str, Any] = {}
        self._continuous: Continuous | None = None
        self._drafting: Drafting | None = None

    def version(self) -> str:
        """The version of transformers."""
        return str(transformers.__version__)

    def packages(self) -> dict[str, str]:
        """Versions of torch and what it was built with, and of the loaders."""
        found = {
            "torch": torch.__version__,  # names the build, which its metadata may not
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
        for name in _PACKAGES:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                found[name] = None
        return {name: str(value) for name, value in found.items() if value is not None}

    def load(self, spec: Mapping[str, Any]) -> Loaded:
        """Load the model, or make random weights of its shape, on one device."""
        self.unload()
        before = loading.allocated_bytes()
        start = time.monotonic()
        self._model, self._tokenizer, flags = loading.load(spec)
        self._drafting = drafting(self._model, self._tokenizer, spec["engine"])
        self._batching = spec["engine"].get("batching") or {}
        continuous = spec["engine"].get("continuous_batching") or {}
        if continuous.get("enabled"):
            self._continuous = Continuous(
                self._model, continuous, strict=spec["strict"]
            )
        self._device = self._model.device
        self._gpus = loading.gpus(self._model)
        self.synchronize()
        duration_s = time.monotonic() - start
        memory = loading.load_memory(self._model, self._gpus, before)
        loading.reset_peaks(self._gpus)
        model = loading.model_facts(self._model, self._tokenizer)
        self._context = model["context_length"]
        return Loaded(
            duration_s=duration_s,
            effective=loading.effective(spec, self._model)
            | {
                "precision": counting.precision(self._model),
                "speculation": self._drafting and self._drafting.effective,
            },
            model=model
            | counting.shape_facts(self._model)
            | loading.origin(spec, self._model),
            memory=memory,
            devices=loading.device_names(self._model),
            flags=flags,
        )

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts, with the special tokens that the tokenizer adds."""
        ids: list[list[int]] = self._tokenizer(list(texts))["input_ids"]
        return ids

    def detokenize(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Texts of token ids, special tokens left out."""
        return [
            self._tokenizer.decode(list(row), skip_special_tokens=True) for row in ids
        ]

    def prepare(
        self, prompts: Sequence[Sequence[int]], options: GenerateOptions
    ) -> list[Any]:
        """Batches of exactly `batch_size` prompts, the last one maybe smaller.

        Unless a strategy makes them otherwise. Padded on the left, on the device. Seeds
        Python, numpy and torch if asked, and starts the peak memory of the pass.
        """
        check_lengths(prompts, options, context=self._context)
        generation = generation_config(
            options, pad=loading.pad_id(self._model, self._tokenizer)
        )
        batches: list[Any] = []
        if self._continuous is not None:
            ends = loading.end_ids(self._model)
            batches += self._continuous.prepare(prompts, options, generation, ends)
        else:
            batches += self._padded(prompts, options, generation)
        if options.seed is not None:
            transformers.set_seed(options.seed % 2**32)
        loading.reset_peaks(self._gpus)
        return batches

    def _padded(
        self,
        prompts: Sequence[Sequence[int]],
        options: GenerateOptions,
        generation: GenerationConfig,
    ) -> list[Batch]:
        if self._drafting is not None:
            self._drafting.prepare(generation)
        groups = layout(
            [len(prompt) for prompt in prompts],
            size=options.batch_size,
            strategy=self._batching.get("strategy") or "static",
            max_tokens=self._batching.get("max_tokens_per_batch"),
        )
        return [
            left_padded(prompts, places, generation, self._device) for places in groups
        ]

    def synchronize(self) -> None:
        """Return when the GPUs have nothing left to do."""
        for gpu in self._gpus:
            torch.cuda.synchronize(gpu)

    def run(self, batch: Any, options: GenerateOptions) -> Any:
        """One call of `generate`, or one flight of continuous batching."""
        if self._continuous is not None:
            return self._continuous.run(batch, options)
        clock = TokenClock() if options.stamps else None
        drafts = self._drafting
        try:
            with torch.inference_mode(), self._watched() as calls:
                ids = self._model.generate(
                    input_ids=batch.input_ids,
                    attention_mask=batch.attention_mask,
                    generation_config=batch.generation,
                    streamer=clock,
                    **(drafts.arguments if drafts else {}),
                )
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise _generation_failure(error) from error
        return Outcome(ids=ids, stamps=clock.stamps if clock else None, calls=calls)

    def _watched(self) -> AbstractContextManager[list[int] | None]:
        return nullcontext() if self._drafting is None else self._drafting.watched()

    def collect(
        self,
        batches: Sequence[Any],
        outcomes: Sequence[Any],
        spans: Sequence[tuple[int, int]],
        options: GenerateOptions,
    ) -> dict[str, Any]:
        """Completions in the order of the prompts, checked against what was asked.

        `padding_tokens` counts the pads on the left of each prompt and those that fill
        a row up after its end token, until the batch's longest row is done.
        """
        memory = loading.pass_memory(self._gpus)
        if self._continuous is not None:
            told = self._continuous.collect(batches, outcomes, spans, options)
            return {**told, "memory": memory}
        ends = frozenset(loading.end_ids(self._model))
        completions: list[Completion] = []
        padding, steps = 0, []
        work: list[Work] | None = None if self._drafting else []
        for batch, outcome, span in zip(batches, outcomes, spans, strict=True):
            width = batch.input_ids.shape[1]
            rows = [row[width:] for row in outcome.ids.tolist()]
            done = completions_of(
                rows, batch.lengths, outcome.stamps, span, ends=ends, options=options
            )
            completions += done
            steps.append(len(rows[0]))
            work = extended(work, batch, len(rows[0]), options)
            padding += sum(width - length for length in batch.lengths)
            padding += sum(len(rows[0]) - each.output_tokens for each in done)
        return {
            "completions": in_order(batches, completions),
            "batches": [len(batch.lengths) for batch in batches],
            "padding_tokens": padding,
            "memory": memory,
            "work": work,
            "native": {
                "decoding_steps": steps,
                "generation": _plain(batches[0].generation) if batches else None,
                **drafted(batches, outcomes),
            },
        }

    def count_flops(
        self, batches: Sequence[Batch], options: GenerateOptions, *, until_s: float
    ) -> dict[str, Any]:
        """One pass under torch's FLOP counter, and the work that it counted."""
        if self._continuous is not None:
            msg = "torch's counter does not see the thread of continuous batching"
            raise GenerationError(msg)
        work: list[Work] | None = None if self._drafting else []

        def run(batch: Batch) -> None:
            nonlocal work
            ids = self.run(batch, options).ids
            steps = ids.shape[1] - batch.input_ids.shape[1]
            work = extended(work, batch, steps, options)

        counted = counting.count(self._model, run, batches, until_s=until_s)
        return {**counted, "work": work}

    def profile(
        self, batches: Sequence[Batch], options: GenerateOptions, path: Path
    ) -> dict[str, Any]:
        """One pass under torch's profiler."""
        return counting.trace(lambda one: self.run(one, options), batches, path)

    def unload(self) -> None:
        """Drop the model and give its memory back."""
        if self._continuous is not None:
            self._continuous.close()
        self._model = self._tokenizer = self._continuous = None
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


class TokenClock(BaseStreamer):  # type: ignore[misc]
    """Stamps each token step; `generate` calls it in its own thread.

    The first call brings the prompt, before prefill; each later one brings a token for
    each row, copied to the host, so the device has finished it. With speculation it
    brings all tokens of one row that a step accepted: they share a stamp.
    """

    def __init__(self) -> None:
        self.stamps: list[int] = []

    def put(self, value: Any) -> None:
        """Note the time of one step."""
        several = value.dim() > 1 and self.stamps
        self.stamps += [time.monotonic_ns()] * (value.shape[1] if several else 1)

    def end(self) -> None:
        """Generation is over: nothing is held back."""


def generation_config(options: GenerateOptions, *, pad: int) -> GenerationConfig:
    """How one pass is generated; greedy unless the decoder options say otherwise.

    What is not set here comes from the model's own generation_config.json.
    """
    loading.refuse_unknown(options.decoder, DECODER_KEYS, where="decoder")
    decoder = {
        key: value for key, value in options.decoder.items() if value is not None
    }
    if options.stamps and decoder.get("num_beams", 1) > 1:
        msg = "token stamps need num_beams=1: beam search has no tokens until it ends"
        raise ConfigError(msg)
    fewest = options.min_output_tokens
    length = {} if fewest is None else {"min_new_tokens": fewest}
    if decoder.get("temperature") == 0:  # greedy, which the library calls otherwise
        decoder = {**decoder, "temperature": None, "do_sample": False}
    wanted = {"do_sample": False, "num_beams": 1, **decoder, **length}
    return GenerationConfig(
        max_new_tokens=options.output_tokens,
        pad_token_id=pad,
        return_dict_in_generate=False,
        num_return_sequences=1,
        **wanted,
    )


def _generation_failure(error: Exception) -> LemError:
    """What `generate` raised, as a kind of failure."""
    if loading.host_memory_is_full(error):
        return OutOfMemory(loading.first_line(error))
    return GenerationError(
        f"transformers failed to generate: {type(error).__name__}: "
        f"{loading.first_line(error)}"
    )


def _plain(generation: GenerationConfig) -> dict[str, Any]:
    """What a generation config sets, as plain values."""
    every = json.loads(generation.to_json_string(use_diff=False))
    return {key: value for key, value in every.items() if value is not None}
