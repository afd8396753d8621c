"""How the worker drives an engine, for tests that have none: specs, prompts, passes."""

import time

from pytest_lem.engines import GenerateOptions
from pytest_lem.workload import prompts


def spec(model, *, engine=None, **changes):
    """A load request as the worker gets it; `engine` is the backend's section."""
    return {
        "model": str(model),
        "weights": "checkpoint",
        "weights_seed": 0,
        "revision": None,
        "trust_remote_code": False,
        "precision": None,
        "adapter": None,
        "engine": dict(engine or {}),
        "strict": False,
        "gpus_expected": 0,
        **changes,
    }


def prompts_of(*lengths):
    """Prompts of given lengths, none the beginning of another."""
    return [
        prompts.synthetic(
            1,
            input_tokens=length,
            vocab_size=384,
            seed=5,
            cycle=0,
            window=0,
            first=first,
            reserved=frozenset({256, 257, 258}),
        )[0]
        for first, length in enumerate(lengths)
    ]


def one_pass(engine, rows, **options):
    """One pass in the order of the worker: what `collect` gives, with real spans."""
    asked = GenerateOptions(**{"output_tokens": 12, "batch_size": 2, **options})
    batches = engine.prepare(rows, asked)
    engine.synchronize()
    spans, outcomes = [], []
    for batch in batches:
        start_ns = time.monotonic_ns()
        outcomes.append(engine.run(batch, asked))
        engine.synchronize()
        spans.append((start_ns, time.monotonic_ns()))
    return engine.collect(batches, outcomes, spans, asked)
