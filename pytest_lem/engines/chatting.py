"""Texts as turns of a user, in the words that a model was trained to hear them in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from pytest_lem.engines import Chats, Engine
from pytest_lem.errors import ConfigError


def chatted(
    engine: Engine, texts: Sequence[str], template: str | None
) -> tuple[list[list[int]], str]:
    """Token ids of texts, each a user's turn that is answered next, and the hash.

    The hash is the SHA-256 of the template: the one given, or the tokenizer's own.
    Raises ConfigError where there is none, or it cannot be used.
    """
    if not isinstance(engine, Chats):
        msg = "the engine has no chat templates: leave out prompt_options.chat_template"
        raise ConfigError(msg)
    tokenizer = engine.chat_tokenizer()
    own = template
    if own is None:
        own = getattr(tokenizer, "chat_template", None)
        if own is not None:  # some tokenizers have several, by name
            own = tokenizer.get_chat_template()
    if not isinstance(own, str):
        msg = (
            "the model's tokenizer has no chat template: name a file of one with "
            "prompt_options.chat_template, or leave that out"
        )
        raise ConfigError(msg)
    try:
        ids = [_turn(tokenizer, text, own) for text in texts]
    except Exception as error:  # whatever a template's own code raises
        kind, lines = type(error).__name__, str(error).splitlines()
        msg = f"the chat template cannot be used: {kind}: {lines[0] if lines else ''}"
        raise ConfigError(msg) from error
    return ids, hashlib.sha256(own.encode()).hexdigest()


def _turn(tokenizer: Any, text: str, template: str) -> list[int]:
    found = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}],
        chat_template=template,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
    )
    return list(found)
