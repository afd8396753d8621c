"""What is known of how good answers are, as the record has it."""

from typing import Literal

from pydantic import Field

from pytest_lem.records.part import Number, Part


class Perplexity(Part):
    """Of a text, or of what a window generated; null `value` where it is infinite.

    `tokens` are those judged, each by those before it: at most `window_tokens` of a
    text, whose windows begin `stride_tokens` after one another. `requests` are those of
    the generated outputs. `sha256` is that of the text, or of the token ids.
    `duration_s` is what it took, after the windows; its energy is in no figure.
    """

    value: Number
    tokens: int
    sha256: str
    text: str | None = None
    window_tokens: int | None = None
    stride_tokens: int | None = None
    requests: int | None = None
    duration_s: Number


class CycleQuality(Part):
    """What the loaded model makes of a held-out text, and of its own outputs.

    Null without `--lem-quality`, or with the reason in the cycle's `nulls`.
    """

    perplexity: Perplexity | None = None
    output_perplexity: Perplexity | None = None


class Score(Part):
    """What somebody found an experiment to be worth; `sha256` is that of their file."""

    value: Number
    better: Literal["lower", "higher"] | None
    sha256: str


class Quality(CycleQuality):
    """The last complete cycle's perplexities, and the scores of users.

    The means over cycles are in the summary. `synthetic` says that the weights are
    random, so that a perplexity is a number and means nothing.
    """

    synthetic: bool | None = None
    scores: dict[str, Score] = Field(default_factory=dict)
