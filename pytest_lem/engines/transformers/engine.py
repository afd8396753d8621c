"""transformers (PyTorch): batches, each one call of `model.generate`."""

from __future__ import annotations

import gc
import importlib.metadata
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers import GenerationConfig

from pytest_lem.analysis.flops import Work
from pytest_lem.engines import Completion, GenerateOptions, Loaded
from pytest_lem.engines.contract import check_lengths
from pytest_lem.engines.transformers import counting, distributed, loading
from pytest_lem.engines.transformers.adapter import adapted
from pytest_lem.engines.transformers.continuous import Continuous
from pytest_lem.engines.transformers.drafting import Drafting, drafted, drafting
from pytest_lem.engines.transformers.effective import effective, self_compiled
from pytest_lem.engines.transformers.failures import FAILURES, generation_failure
from pytest_lem.engines.transformers.generation import (
    TokenClock,
    end_ids,
    generation_config,
    kept_mb,
    plain,
    section_config,
    stopped_at,
)
from pytest_lem.engines.transformers.likelihood import Likelihood
from pytest_lem.engines.transformers.queued import Queue, Served
from pytest_lem.engines.transformers.requests import (
    Batch,
    Outcome,
    check_waiting,
    completions_of,
    extended,
    in_order,
    left_padded,
    merged,
)
from pytest_lem.engines.transformers.running import Running
from pytest_lem.engines.transformers.salvaging import Salvaging
from pytest_lem.errors import GenerationError
from pytest_lem.workload.batching import layout

if TYPE_CHECKING:
    from pytest_lem.engines.transformers.compile import Compiling

_PACKAGES = ("accelerate", "tokenizers", "safetensors", "huggingface_hub")


class TransformersEngine(Salvaging, Likelihood):
    """A causal language model on one device, asked for whole batches at a time."""

    def __init__(self) -> None:
        self._model: Any = None
        self._tokenizer: Any = None
        self._device = torch.device("cpu")
        self._gpus: list[int] = []
        self._context: int | None = None
        self._section: Mapping[str, Any] = {}
        self._running = Running()
        self._continuous: Continuous | None = None
        self._drafting: Drafting | None = None
        self._compiled: Compiling | None = None
        self._kept: Any = None
        self._used = False

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
        self._used = True
        before = loading.allocated_bytes()
        start = time.monotonic()
        self._section = spec["engine"]
        self._model, self._tokenizer, flags = loading.load(spec, self._running)
        self._model, adapter = adapted(self._model, spec)
        self._drafting = drafting(self._model, self._tokenizer, self._section)
        self._compiled = _compiled(self._model, spec)
        continuous = self._section.get("continuous_batching") or {}
        if continuous.get("enabled"):
            self._continuous = Continuous(
                self._model, continuous, strict=spec["strict"]
            )
        self._device = loading.input_device(self._model)
        self._gpus = loading.gpus(self._model)
        self.synchronize()
        duration_s = time.monotonic() - start
        memory = loading.load_memory(self._model, self._gpus, before)
        loading.reset_peaks(self._gpus)
        model = loading.model_facts(self._model, self._tokenizer)
        self._context = model["context_length"]
        found = effective(
            spec,
            self._model,
            self._running.state(self._device),
            section_config(self._section),
        )
        self._compiled = self._compiled or _compiling(self._model, found)
        precision = counting.precision(self._model)
        if found["autocast_enabled"]:
            precision["compute"] = found["autocast_dtype"]
        return Loaded(
            duration_s=duration_s,
            effective=found
            | {
                "precision": precision,
                "adapter": adapter,
                "speculation": self._drafting and self._drafting.effective,
                "torch_compile": self._compiled and self._compiled.effective,
            },
            model=model
            | counting.shape_facts(self._model)
            | loading.origin(spec, self._model),
            memory=memory,
            devices=loading.device_names(self._model),
            flags=flags
            + loading.unlike(spec, found)
            + list(self._compiled.flags if self._compiled else ()),
        )

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts, with the special tokens that the tokenizer adds."""
        ids: list[list[int]] = self._tokenizer(list(texts))["input_ids"]
        return ids

    def chat_tokenizer(self) -> Any:
        """The tokenizer of transformers."""
        return self._tokenizer

    def detokenize(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Texts of token ids, special tokens left out."""
        return [
            self._tokenizer.decode(list(row), skip_special_tokens=True) for row in ids
        ]

    def prepare(
        self, prompts: Sequence[Sequence[int]], options: GenerateOptions
    ) -> list[Any]:
        """Batches of exactly `batch_size` prompts, the last one maybe smaller.

        Unless a strategy makes them otherwise, or requests are paced. Padded on the
        left, on the device. Seeds Python, numpy and torch if asked, and starts the
        peak memory of the pass.
        """
        check_lengths(prompts, options, context=self._context)
        generation = generation_config(
            options,
            self._section,
            pad=loading.pad_id(self._model, self._tokenizer),
        )
        batches: list[Any] = []
        if self._continuous is not None:
            ends = sorted(end_ids(generation, loading.end_ids(self._model)))
            batches += self._continuous.prepare(prompts, options, generation, ends)
        else:
            batches += self._padded(prompts, options, generation)
        if self._compiled is not None:
            self._compiled.begin()
        if options.seed is not None:
            transformers.set_seed(options.seed % 2**32)
        loading.reset_peaks(self._gpus)
        return batches

    def _padded(
        self,
        prompts: Sequence[Sequence[int]],
        options: GenerateOptions,
        generation: GenerationConfig,
    ) -> list[Any]:
        if self._drafting is not None:
            self._drafting.prepare(generation)
        drafts, device = self._drafting is not None, self._device
        make = partial(left_padded, prompts, generation, options, device, drafts)
        if options.paced:
            check_waiting(prompts, [range(len(prompts))], options, self._context)
            return [Queue(requests=len(prompts), make=make)]
        batching = self._section.get("batching") or {}
        groups = layout(
            [len(prompt) for prompt in prompts],
            size=options.batch_size,
            strategy=batching.get("strategy") or "static",
            max_tokens=batching.get("max_tokens_per_batch"),
        )
        check_waiting(prompts, groups, options, self._context)
        return [make(places) for places in groups]

    def synchronize(self) -> None:
        """Return when the GPUs have nothing left to do."""
        for gpu in self._gpus:
            torch.cuda.synchronize(gpu)

    def run(self, batch: Any, options: GenerateOptions) -> Any:
        """One call of `generate`, or one flight of continuous batching."""
        if self._continuous is not None:
            return self._continuous.run(batch, options)
        if isinstance(batch, Queue):
            return batch.serve(options, lambda one: self._one(one, options))
        return self._one(batch, options)

    def _one(self, batch: Batch, options: GenerateOptions) -> Outcome:
        try:
            outcome = self._generate(batch, options)
        except GenerationError as error:
            if self._compiled is None or not self._compiled.forgives(error):
                raise
            outcome = self._generate(batch, options)
        if options.paced:
            self.synchronize()
        return outcome

    def _generate(self, batch: Batch, options: GenerateOptions) -> Outcome:
        clock = TokenClock() if options.stamps else None
        try:
            with torch.inference_mode(), self._around() as calls:
                told = self._model.generate(
                    input_ids=batch.input_ids,
                    attention_mask=batch.attention_mask,
                    generation_config=batch.generation,
                    streamer=clock,
                    **self._beside(batch),
                )
        except torch.OutOfMemoryError:
            raise
        except FAILURES as error:
            raise generation_failure(error) from error
        self._kept = told  # the last pass only: each may hold more than the model
        ids = told if isinstance(told, torch.Tensor) else told.sequences
        return Outcome(ids=ids, stamps=clock.stamps if clock else None, calls=calls)

    @contextmanager
    def _around(self) -> Iterator[list[int] | None]:
        with self._running.around():
            if self._drafting is None:
                yield None
            else:
                with self._drafting.watched() as calls:
                    yield calls

    def _beside(self, batch: Batch) -> dict[str, Any]:
        """What `generate` needs beside its configuration."""
        found = {"tokenizer": self._tokenizer} if batch.generation.stop_strings else {}
        found |= {"stopping_criteria": batch.criteria} if batch.criteria else {}
        return found | (self._drafting.arguments if self._drafting else {})

    def collect(
        self,
        batches: Sequence[Any],
        outcomes: Sequence[Any],
        spans: Sequence[tuple[int, int]],
        options: GenerateOptions,
    ) -> dict[str, Any]:
        """Completions in the order of the prompts, checked against what was asked.

        `padding_tokens` counts the pads on the left of each prompt and those that fill
        a row up after its end, until the batch's longest row is done.
        """
        memory = loading.pass_memory(self._gpus)
        if self._continuous is not None:
            told = self._continuous.collect(batches, outcomes, spans, options)
            return {**told, "memory": memory}
        served: Served | None = outcomes[0] if options.paced else None
        if served is not None:
            batches, outcomes = served.batches, served.outcomes
            spans = served.spans
        model_ends = loading.end_ids(self._model)
        completions: list[Completion] = []
        padding, steps = 0, []
        work: list[Work] | None = None if self._drafting else []
        for batch, outcome, span in zip(batches, outcomes, spans, strict=True):
            width = batch.input_ids.shape[1]
            rows = [row[width:] for row in outcome.ids.tolist()]
            texts = batch.generation.num_return_sequences
            done = completions_of(
                rows,
                batch.lengths,
                outcome.stamps,
                span,
                ends=end_ids(batch.generation, model_ends),
                options=options,
                stops=stopped_at(outcome.ids, width, batch.generation, self._tokenizer),
                texts=texts,
                places=batch.places,
            )
            completions += done
            steps.append(len(rows[0]))
            work = extended(work, batch, len(rows[0]), options)
            padding += texts * sum(width - length for length in batch.lengths)
            padding += sum(texts * len(rows[0]) - one.output_tokens for one in done)
        completions = in_order(batches, completions)
        return {
            "completions": served.as_sent(completions) if served else completions,
            "due_ns": served.clients.due_ns if served else [],
            "batches": [len(batch.lengths) for batch in batches],
            "padding_tokens": padding,
            "memory": memory,
            "work": work,
            "native": {
                "decoding_steps": steps,
                "generation": plain(batches[0].generation) if batches else None,
                "kept_mb": kept_mb(self._kept),
                "at_once": options.batch_size,
                "request_times_ms": served.request_times_ms() if served else None,
                **merged(
                    drafted(batches, outcomes),
                    self._compiled.told() if self._compiled else {},
                ),
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

        def run(batch: Batch) -> int:
            nonlocal work
            before = len(work or ())
            ids = self.run(batch, options).ids
            steps = ids.shape[1] - batch.input_ids.shape[1]
            work = extended(work, batch, steps, options)
            return 1 if work is None else len(work) - before

        with self._compiled.undone() if self._compiled else nullcontext():
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
        if self._compiled is not None:
            self._compiled.close()
        self._continuous = self._compiled = self._drafting = None
        self._model = self._tokenizer = self._kept = None
        self._running.stop()
        distributed.leave()
        if not self._used:
            return
        self._used = False
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def _compiled(model: Any, spec: Mapping[str, Any]) -> Compiling | None:
    if not spec["engine"].get("torch_compile"):
        return None
    # The compiler takes seconds to import.
    from pytest_lem.engines.transformers.compile import Compiled

    return Compiled(model, spec["engine"], strict=spec["strict"])


def _compiling(model: Any, found: Mapping[str, Any]) -> Compiling | None:
    """A listener, where the library will compile by itself."""
    arguments = self_compiled(found["generation"], model)
    if arguments is None:
        return None
    from pytest_lem.engines.transformers.compile import Compiling

    return Compiling(arguments)
