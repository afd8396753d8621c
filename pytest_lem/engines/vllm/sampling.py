"""How vLLM samples: its own objects, made of options and section."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Mapping
from typing import Any

from pytest_lem.engines import GenerateOptions
from pytest_lem.errors import ConfigError
from pytest_lem.spec.nearest import unknown

KEYS = (
    "n",
    "ignore_eos",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "prompt_logprobs",
    "logit_bias",
    "detokenize",
    "output_kind",
    "structured_outputs",
    "stop",
    "stop_token_ids",
    "skip_reading_prefix_cache",
    "beam_length_penalty",
)
"""Keys of the section that a request is sampled by; the others are the engine's."""

DECODER_KEYS = (
    "do_sample",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "num_beams",
)


def sampling(options: GenerateOptions, section: Mapping[str, Any]) -> Any:
    """`SamplingParams` of a pass, or `BeamSearchParams` where it has beams.

    Greedy unless the decoder says otherwise; the length is forced where the least is
    the most. Raises ConfigError for what this vLLM does not take.
    """
    decoder = {key: v for key, v in options.decoder.items() if v is not None}
    for key in decoder:
        if key not in DECODER_KEYS:
            raise ConfigError(unknown("key", key, DECODER_KEYS, within="decoder."))
    if decoder.get("num_beams", 1) > 1:
        return _beams(options, section, decoder)
    from vllm import SamplingParams

    fields = sampling_fields(options, section, decoder)
    _refuse_unknown(SamplingParams, fields, section)
    try:
        return SamplingParams(**fields)
    except Exception as error:
        raise ConfigError(f"vllm: {error}") from error


def samplings(options: GenerateOptions, section: Mapping[str, Any]) -> list[Any] | None:
    """`SamplingParams` of each request; None where all are sampled alike."""
    if not options.output_limits:
        return None
    if (options.decoder.get("num_beams") or 1) > 1:
        raise ConfigError("vllm: a beam search has one output length for all requests")
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
    """The fields that are sent, in vLLM's words; None is its own default."""
    return {
        "max_tokens": options.output_tokens,
        "min_tokens": options.min_output_tokens or 0,
        "ignore_eos": options.forced,
        "seed": options.seed,
        **_chosen(decoder),
        **{
            key: _native(key, section[key])
            for key in KEYS
            if key != "beam_length_penalty" and section.get(key) is not None
        },
        **((section.get("extra") or {}).get("sampling") or {}),
    }


def plain(params: Any) -> dict[str, Any]:
    """What is sent, as plain values."""
    names = getattr(params, "__struct_fields__", ())
    found = {name: getattr(params, name) for name in names if not name.startswith("_")}
    return {
        name: getattr(value, "name", value) if _short(value) else str(value)
        for name, value in found.items()
        if value is not None
    }


def _short(value: Any) -> bool:
    return isinstance(value, (int, float, str, list, enum.Enum))


def _chosen(decoder: Mapping[str, Any]) -> dict[str, Any]:
    """How a token is chosen: a temperature of 0 takes the likeliest, in any case."""
    found = {
        key: decoder[key]
        for key in ("temperature", "top_p", "min_p", "repetition_penalty")
        if key in decoder
    }
    if not decoder.get("do_sample"):
        found["temperature"] = 0.0
    if "top_k" in decoder:
        found["top_k"] = decoder["top_k"] or -1  # -1 is all in every version
    return found


def _beams(
    options: GenerateOptions, section: Mapping[str, Any], decoder: Mapping[str, Any]
) -> Any:
    from vllm.sampling_params import BeamSearchParams

    fields: dict[str, Any] = {
        "beam_width": decoder["num_beams"],
        "max_tokens": options.output_tokens,
        "ignore_eos": options.forced,
    }
    if (penalty := section.get("beam_length_penalty")) is not None:
        fields["length_penalty"] = penalty
    return BeamSearchParams(**fields)


def _native(key: str, value: Any) -> Any:
    """A value of the section as vLLM's own type."""
    if key == "logit_bias":
        return {int(token): float(bias) for token, bias in value.items()}
    if key == "output_kind":
        from vllm.sampling_params import RequestOutputKind

        return RequestOutputKind[value]
    if key == "structured_outputs":
        from vllm.sampling_params import StructuredOutputsParams

        known = inspect.signature(StructuredOutputsParams).parameters
        for name in value:
            if name not in known:
                within = "vllm.structured_outputs."
                raise ConfigError(unknown("key", name, known, within=within))
        try:
            return StructuredOutputsParams(**value)
        except Exception as error:
            raise ConfigError(f"vllm.structured_outputs: {error}") from error
    return value


def _refuse_unknown(
    target: Any, fields: Mapping[str, Any], section: Mapping[str, Any]
) -> None:
    known = [n for n in target.__struct_fields__ if not n.startswith("_")]
    extra = (section.get("extra") or {}).get("sampling") or {}
    for key in fields:
        if key in known:
            continue
        if key in extra:
            raise ConfigError(unknown("key", key, known, within="vllm.extra.sampling."))
        from vllm import __version__

        msg = f"vllm.{key}: vLLM {__version__} has no such field of SamplingParams"
        raise ConfigError(msg)
