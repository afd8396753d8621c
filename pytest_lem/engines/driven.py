"""Which parameters engines obey already; what is not listed is refused by name.

Standard library only: read where experiments are collected and in the worker.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

TRANSFORMERS = frozenset(
    {
        "device",
        "attn_implementation",
        "batching.strategy",
        "batching.max_tokens_per_batch",
        "continuous_batching",
        "assistant_model",
        "num_assistant_tokens",
        "num_assistant_tokens_schedule",
        "assistant_confidence_threshold",
        "prompt_lookup_num_tokens",
        "max_matching_ngram_size",
    }
)
"""Keys of the `transformers` section, with dots where they nest; `adapter` too."""


def undriven(
    spec: Mapping[str, Any], driven: Collection[str], *, section: str
) -> list[str]:
    """A line for each parameter of a spec that its engine does not obey yet.

    `spec` has the section under `engine`; what is None there is unset.
    """
    paths = list(_paths(spec["engine"], driven, ""))
    told = [f"{section}.{path}" for path in paths]
    if spec.get("adapter") is not None and "adapter" not in driven:
        told.append("adapter")
    return [f"{path} is not driven yet by this version" for path in told]


def drives(path: str, driven: Collection[str], *, section: str) -> bool:
    """Whether an engine obeys the parameter of this path; universal ones it does."""
    if path == "adapter":
        return path in driven
    if not path.startswith(f"{section}."):
        return True
    value: Any = True
    for name in reversed(path.split(".")[1:]):
        value = {name: value}
    return not undriven({"engine": value}, driven, section=section)


def _paths(
    values: Mapping[str, Any], driven: Collection[str], prefix: str
) -> Iterator[str]:
    for key, value in values.items():
        path = f"{prefix}{key}"
        if path in driven or value is None:
            continue
        if isinstance(value, Mapping) and any(
            one.startswith(f"{path}.") for one in driven
        ):
            yield from _paths(value, driven, f"{path}.")
        else:
            yield path
