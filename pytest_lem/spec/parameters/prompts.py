"""How given prompts are read: which column, which of them, and in what order."""

from typing import Literal

from pytest_lem.spec.parameters.about import HARNESS, Bool, Int, Section, parameter

COLUMNS = ("prompt", "text", "instruction", "input", "question")
"""Where prompts are looked for in a table, in this order."""


class PromptOptions(Section):
    """How given prompts are read; they are `prompts`."""

    column: str | None = parameter(
        HARNESS,
        "The column or key that holds the prompts.",
        effect="",
        own=f"the first there is of {', '.join(COLUMNS)}",
        needs="a table: JSON, JSONL, CSV, TSV, or Parquet.",
    )
    split: str | None = parameter(
        HARNESS,
        "The split of a dataset.",
        effect="",
        own="train",
        needs="a dataset.",
    )
    subset: str | None = parameter(
        HARNESS,
        "The configuration of a dataset that has several.",
        effect="",
        needs="a dataset.",
    )
    revision: str | None = parameter(
        HARNESS,
        "Branch, tag or commit of a dataset.",
        effect="",
        own="main",
        advice="A commit, so that a rerun is the same.",
        needs="a dataset.",
    )
    order: Literal["given", "shuffled"] | None = parameter(
        HARNESS,
        "Prompts as they come, or shuffled by the seed.",
        effect="",
        own="given",
    )
    count: Int | None = parameter(
        HARNESS,
        "Take so many prompts, the first ones in that order.",
        effect="",
        own="all",
        unit="prompts",
        ge=1,
    )
    truncation: Literal["end", "start", "refuse"] | None = parameter(
        HARNESS,
        "Which end of a prompt is cut off at input_tokens, or that none may be.",
        effect="",
        own="end",
        needs="input_tokens.",
    )
    chat_template: Bool | str | None = parameter(
        HARNESS,
        "Ask each prompt as a user's turn, by the model's own template or a file's.",
        effect="E+ L+",
        own="prompts as they are",
        advice="On for models that were trained to chat.",
        needs="truncation refuse beside input_tokens.",
    )
