"""torch.compile of a model's forward pass, and the seconds that compiling takes.

Compiling begins with the first call, so the warm-up pays for it. What is compiled later
than that, for a shape that the warm-up did not have, is told of the pass it happens in,
and so are recordings of CUDA graphs: torch makes another where a cache lies elsewhere.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch._dynamo import callback, utils
from torch._dynamo.callback import CallbackTrigger
from torch._dynamo.exc import InvalidBackend, TorchDynamoException
from transformers import StaticCache

from pytest_lem.errors import ConfigError, GenerationError

_COUNTS = ("compilations", "graph_breaks", "graph_recordings", "graph_skips")
_FLAGS = {
    "compilations": "compiled_in_window",
    "graph_recordings": "graphs_recorded_in_window",
    "graph_skips": "cuda_graphs_skipped",
}
_ARGUMENTS = ("backend", "fullgraph", "dynamic", "options")
_WITH_GRAPHS = ("reduce-overhead", "max-autotune")


class Compiling:
    """Listens to the compiler while a model is loaded: what it does, and when.

    The library compiles decoding by itself where the cache has a fixed size.
    """

    flags: Sequence[str] = ()

    def __init__(self, effective: Mapping[str, Any]) -> None:
        self._effective = effective
        self._reason: str | None = None
        self._since_s = 0.0
        self._spent_s = self._before_s = 0.0
        self._found: Counter[str] = Counter()
        self._then = self._counted()
        self._before = self._now()
        callback.on_compile_start(self._began)
        callback.on_compile_end(self._ended)

    @property
    def effective(self) -> dict[str, Any]:
        """What torch was told, or is."""
        return dict(self._effective)

    def begin(self) -> None:
        """A pass begins: what compiles from now on is part of it."""
        self._before_s = self._spent_s
        self._before = self._now()

    def told(self) -> dict[str, Any]:
        """Seconds of compiling before and in the pass, what came of it, and flags.

        The seconds are those of compiling and of recording CUDA graphs; the counts are
        those since the load.
        """
        now = self._now()
        fresh = now - self._before
        flags = [flag for name, flag in _FLAGS.items() if fresh[name]]
        flags += [] if self._reason is None else ["compile_fallback"]
        return {
            "compile": {
                "before_s": self._before_s,
                "in_pass_s": self._spent_s - self._before_s,
                **{name: now[name] for name in _COUNTS},
                "fallback": self._reason,
            },
            "flags": flags,
        }

    def forgives(self, error: GenerationError) -> bool:  # noqa: ARG002 - not this one
        """Whether a pass may be made again without what failed."""
        return False

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Run what was not compiled, for tools that look at single operations."""
        with torch.compiler.set_stance("force_eager"):
            yield

    def close(self) -> None:
        """Forget what was compiled, and with it who listens."""
        torch.compiler.reset()

    def _began(self, _about: Any) -> None:
        self._since_s = time.monotonic()

    def _ended(self, about: Any) -> None:
        self._spent_s += time.monotonic() - self._since_s
        recorded = about.callback_trigger is CallbackTrigger.CUDAGRAPH_RECORDING
        self._found["graph_recordings" if recorded else "compilations"] += 1

    def _now(self) -> Counter[str]:
        """What there was since the load."""
        return self._found + (self._counted() - self._then)

    def _counted(self) -> Counter[str]:
        """What torch counts by itself, since ever."""
        return Counter(
            graph_breaks=sum(utils.counters["graph_break"].values()),
            graph_skips=utils.counters["inductor"]["cudagraph_skips"],
        )


class Compiled(Compiling):
    """A model whose forward pass is compiled, until that turns out to be impossible."""

    def __init__(self, model: Any, asked: Mapping[str, Any], *, strict: bool) -> None:
        self._model = model
        self.strict = strict
        mode = asked["torch_compile"]
        told = {
            name: asked[f"torch_compile_{name}"]
            for name in _ARGUMENTS
            if asked.get(f"torch_compile_{name}") is not None
        }
        if "options" not in told:
            told["mode"] = "default" if mode is True else mode
        super().__init__({"backend": "inductor", **told})
        self.flags = self._graph_flags()
        try:
            model.forward = torch.compile(model.forward, **told)
        except InvalidBackend as error:
            known = ", ".join(torch.compiler.list_backends())
            msg = f"torch_compile_backend={told['backend']!r} is none of {known}"
            raise ConfigError(msg) from error
        model.register_forward_pre_hook(_allocate, with_kwargs=True)

    @property
    def effective(self) -> dict[str, Any]:
        """What torch was told, and whether the model's forward pass is compiled."""
        compiled = hasattr(self._model.forward, "_torchdynamo_orig_callable")
        return {**self._effective, "compiled": compiled}

    def forgives(self, error: GenerationError) -> bool:
        """Whether it was the compiler that failed; the model then runs as it was.

        Raises GenerationError where nothing else than asked for may be measured.
        """
        cause = error.__cause__
        if not isinstance(cause, TorchDynamoException):
            return False
        # The compiler's name comes first, its reason on the next line.
        self._reason = " ".join(str(cause).split("\n")[:2]).strip()
        if self.strict:
            msg = f"the model cannot be compiled: {self._reason}"
            raise GenerationError(msg) from error
        if "forward" in vars(self._model):
            del self._model.forward
        return True

    def _graph_flags(self) -> list[str]:
        """CUDA graphs are part of some modes, and silently left out without a GPU."""
        mode = self._effective.get("mode")
        if mode not in _WITH_GRAPHS or self._model.device.type == "cuda":
            return []
        if self.strict:
            msg = f"torch_compile={mode} is CUDA graphs: there is no GPU"
            raise ConfigError(msg)
        return ["no_cuda_graphs"]


def _allocate(model: Any, _: Any, told: Mapping[str, Any]) -> None:
    """Make a cache of fixed size before what is compiled runs.

    It would allocate itself within the first call, and what CUDA graphs allocate they
    overwrite: the library asks for this of whoever compiles the prefill.
    """
    cache = told.get("past_key_values")
    if not isinstance(cache, StaticCache) or cache.is_initialized:
        return
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    cache.early_initialization(
        batch_size=len(told["input_ids"]),
        num_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        dtype=model.dtype,
        device=model.device,
    )
