"""What every engine is asked in the same words: the decoder's options.

The other universal parameters are the fields of `EngineSpec` and `Workload`.
"""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import model_serializer, model_validator

from pytest_lem.spec.notes import Note
from pytest_lem.spec.parameters.about import Bool, Float, Int, Section, parameter
from pytest_lem.spec.presets import DECODERS


def _to(transformers: str, vllm: str = "", tensorrt: str = "") -> dict[str, str]:
    """The field of each engine's own object for sampling."""
    return {
        "transformers": f"GenerationConfig.{transformers}",
        "vllm": vllm or f"SamplingParams.{transformers}",
        "tensorrt": tensorrt or f"SamplingParams.{transformers}",
    }


_OF_DRAWING = ("temperature", "top_p", "top_k", "min_p")


class Decoder(Section):
    """How tokens are chosen; unset is the likeliest each time.

    `preset` stands for the values of one of the decoder presets; keys beside it win.
    """

    preset: Literal["deterministic", "standard", "creative", "factual"] | None = (
        parameter(
            "pytest-lem",
            "Named values for the other options; those beside it win.",
            effect="E~ T~ L~",
        )
    )
    do_sample: Bool | None = parameter(
        _to("do_sample", "SamplingParams.temperature", "SamplingParams.top_k"),
        "Draw tokens instead of taking the likeliest.",
        effect="E+ T- L+",
        own="false",
        advice="Off for measurements that should repeat.",
    )
    temperature: Float | None = parameter(
        _to("temperature"),
        "How flat probabilities are made; 0 takes the likeliest token.",
        effect="",
        own="1.0",
        needs="do_sample.",
        ge=0,
        le=2,
    )
    top_p: Float | None = parameter(
        _to("top_p"),
        "Draw from the likeliest tokens of so much probability.",
        effect="E+ T- L+",
        own="1.0",
        needs="do_sample.",
        gt=0,
        le=1,
    )
    top_k: Int | None = parameter(
        _to("top_k"),
        "Draw from the so many likeliest tokens; 0 for all.",
        effect="E+ T- L+",
        own="50 in transformers, else 0",
        unit="tokens",
        needs="do_sample.",
        ge=0,
    )
    min_p: Float | None = parameter(
        _to("min_p"),
        "Draw from tokens of at least this share of the likeliest one's probability.",
        effect="E+ T- L+",
        own="none",
        needs="do_sample.",
        ge=0,
        le=1,
    )
    repetition_penalty: Float | None = parameter(
        _to("repetition_penalty"),
        "Above 1 avoids tokens that occurred.",
        effect="E+ T- L+",
        own="1.0",
        ge=0.1,
        le=10,
    )
    no_repeat_ngram_size: Int | None = parameter(
        _to("no_repeat_ngram_size", "none"),
        "Never repeat a run of so many tokens.",
        effect="E+ T- L+",
        own="0",
        unit="tokens",
        advice="A slow loop on the host; vLLM has repetition_penalty instead.",
        ge=0,
    )
    num_beams: Int | None = parameter(
        _to("num_beams", "BeamSearchParams.beam_width", "SamplingParams.best_of"),
        "Texts that a beam search follows at once.",
        effect="E+ T- L+ M+",
        own="1",
        unit="beams",
        needs="streaming is refused with more than 1.",
        older=("/transformers.num_beams", "/tensorrt.beam_search"),
        ge=1,
        le=16,
    )

    @property
    def draws(self) -> bool:
        """Whether tokens are drawn; else each is the likeliest."""
        return bool(self.do_sample) and self.temperature != 0

    def dormant(self) -> list[str]:
        """The paths of what is set and does nothing, since no token is drawn."""
        if self.draws:
            return []
        found = [name for name in _OF_DRAWING if getattr(self, name) is not None]
        if self.temperature == 0:  # the one that says so itself
            found.remove("temperature")
            found += ["do_sample"] if self.do_sample else []
        return [f"decoder.{name}" for name in found]

    def doubts(self) -> Iterator[Note]:
        """What greedy decoding does not look at."""
        if dormant := self.dormant():
            wanted = (
                "a temperature above 0" if self.do_sample else "decoder.do_sample=True"
            )
            yield Note(
                path=", ".join(dormant),
                message=f"{', '.join(dormant)} has no effect: each token is the "
                f"likeliest without {wanted}",
                suggestion="say that, or leave it out",
            )

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("preset") in DECODERS:
            rest = {key: value for key, value in given.items() if key != "preset"}
            return {**DECODERS[given["preset"]], **rest}
        return given

    @model_serializer(mode="plain")
    def _set_ones(self) -> dict[str, Any]:
        """Only what is set: an option added later changes no old record."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if value is not None}
