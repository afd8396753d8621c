"""How TensorRT-LLM samples: its own object, made of options and section."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pytest_lem.engines import GenerateOptions
from pytest_lem.engines.contract import first_line
from pytest_lem.errors import ConfigError
from pytest_lem.spec.nearest import unknown

KEYS = (
    "n",
    "best_of",
    "ignore_eos",
    "end_id",
    "stop",
    "stop_token_ids",
    "presence_penalty",
    "frequency_penalty",
    "length_penalty",
    "early_stopping",
    "beam_search_diversity_rate",
    "logprobs",
    "prompt_logprobs",
    "return_context_logits",
    "return_generation_logits",
    "detokenize",
)
"""Keys of the section that a request is sampled by; the others are the engine's."""

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


def sampling(options: GenerateOptions, section: Mapping[str, Any]) -> Any:
    """`SamplingParams` of a pass: greedy unless the decoder says otherwise.

    The length is forced where the least is the most. Raises ConfigError for what this
    TensorRT-LLM does not take.
    """
    decoder = {key: v for key, v in options.decoder.items() if v is not None}
    for key in decoder:
        if key not in DECODER_KEYS:
            raise ConfigError(unknown("key", key, DECODER_KEYS, within="decoder."))
    from tensorrt_llm import SamplingParams

    fields = sampling_fields(options, section, decoder)
    _refuse_unknown(SamplingParams, fields, section)
    try:
        return SamplingParams(**fields)
    except Exception as error:
        raise ConfigError(f"tensorrt: {first_line(error)}") from error


def samplings(options: GenerateOptions, section: Mapping[str, Any]) -> list[Any] | None:
    """`SamplingParams` of each request; None where all are sampled alike."""
    if not options.output_limits:
        return None
    places = {limit: place for place, limit in enumerate(options.output_limits)}
    made = {
        limit: sampling(options.of(place), section) for limit, place in places.items()
    }
    return [made[limit] for limit in options.output_limits]


def sampling_fields(
    options: GenerateOptions,
    section: Mapping[str, Any],
    decoder: Mapping[str, Any],
) -> dict[str, Any]:
    """The fields that are sent, in TensorRT-LLM's words; others keep its defaults."""
    return {
        "max_tokens": options.output_tokens,
        "min_tokens": options.min_output_tokens or None,
        "ignore_eos": options.forced,
        "seed": options.seed,
        "return_perf_metrics": section.get("return_perf_metrics") is not False,
        **_chosen(decoder),
        **{key: section[key] for key in KEYS if section.get(key) is not None},
        **((section.get("extra") or {}).get("sampling") or {}),
    }


def plain(params: Any) -> dict[str, Any]:
    """What is sent, as plain values."""
    found = {
        one.name: getattr(params, one.name)
        for one in dataclasses.fields(params)
        if not one.name.startswith("_")
    }
    return {
        name: value if isinstance(value, (int, float, str, list)) else str(value)
        for name, value in found.items()
        if value is not None
    }


def _chosen(decoder: Mapping[str, Any]) -> dict[str, Any]:
    """How a token is chosen: only the likeliest is what every version calls greedy."""
    found = {
        key: decoder[key]
        for key in ("repetition_penalty", "no_repeat_ngram_size")
        if key in decoder
    }
    if (beams := decoder.get("num_beams", 1)) > 1:
        return {**found, "use_beam_search": True, "best_of": beams}
    if not decoder.get("do_sample") or decoder.get("temperature") == 0:
        return {**found, "top_k": 1}
    drawn = {key: decoder[key] for key in ("top_p", "top_k", "min_p") if key in decoder}
    return {**found, "temperature": decoder.get("temperature", 1.0), **drawn}


def _refuse_unknown(
    target: Any, fields: Mapping[str, Any], section: Mapping[str, Any]
) -> None:
    known = [one.name for one in dataclasses.fields(target)]
    extra = (section.get("extra") or {}).get("sampling") or {}
    for key in fields:
        if key in known:
            continue
        if key in extra:
            within = "tensorrt.extra.sampling."
            raise ConfigError(unknown("key", key, known, within=within))
        from tensorrt_llm import __version__

        msg = (
            f"tensorrt.{key}: TensorRT-LLM {__version__} has no such field of "
            "SamplingParams"
        )
        raise ConfigError(msg)
