"""An engine that says its prompt over and over."""

import platform
import time
from importlib import metadata
from itertools import cycle, islice

from pytest_lem.engines import Completion, Loaded
from pytest_lem.errors import ConfigError


class Parrot:
    """Lives in a worker, which makes it without arguments."""

    def version(self):
        return metadata.version("parrot")

    def packages(self):
        return {"python": platform.python_version()}

    def load(self, spec):
        options = {"pause_s": 0.0, **spec["engine"]}
        if unknown := sorted(set(options) - {"pause_s"}):
            raise ConfigError(f"the parrot has no {unknown[0]!r}; it has pause_s")
        self._pause_s = options["pause_s"]
        return Loaded(
            duration_s=0.0,
            effective=options,
            model={"architecture": "parrot", "vocab_size": 256, "reserved_ids": []},
            memory={"model_mb": None, "load_peak_mb": None},
            devices=["cpu"],
            flags=[],
        )

    def tokenize(self, texts):
        return [list(text.encode()) for text in texts]

    def detokenize(self, ids):
        return [bytes(row).decode(errors="replace") for row in ids]

    def prepare(self, prompts, options):
        size = options.batch_size
        return [prompts[k : k + size] for k in range(0, len(prompts), size)]

    def synchronize(self):
        """Nothing is left to wait for: `run` ends with its work."""

    def run(self, batch, options):
        rows, stamps = [cycle(prompt) for prompt in batch], []
        said = [[] for _ in rows]
        for _ in range(options.output_tokens):
            time.sleep(self._pause_s)
            for words, row in zip(said, rows, strict=True):
                words.extend(islice(row, 1))
            stamps.append(time.monotonic_ns())
        return said, stamps if options.stamps else []

    def collect(self, batches, outcomes, spans, options):
        del options
        told = zip(batches, outcomes, spans, strict=True)
        return {
            "completions": [
                Completion(
                    input_tokens=len(prompt),
                    output_ids=words,
                    finish_reason="length",
                    sent_ns=sent_ns,
                    ended_ns=ended_ns,
                    token_ns=stamps,
                )
                for batch, (said, stamps), (sent_ns, ended_ns) in told
                for prompt, words in zip(batch, said, strict=True)
            ],
            "batches": [len(batch) for batch in batches],
            "padding_tokens": 0,
            "memory": {"inference_peak_mb": None},
            "native": {},
        }

    def unload(self):
        """Nothing is held."""
