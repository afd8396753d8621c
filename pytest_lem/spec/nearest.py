"""What is said of a word that is no choice: one sentence, the same everywhere."""

import difflib
import re
from collections.abc import Iterable

_SHOWN = 12


def unknown(kind: str, word: str, choices: Iterable[str], *, within: str = "") -> str:
    """`KIND 'WORD' is unknown; did you mean 'NEAR'? (choices: ...)`.

    `within` stands before the word and the suggestion, such as the section of a key.
    A choice may show its argument, as `replay:FILE` does. Of many choices only the
    most similar are listed.
    """
    options = sorted({*choices})
    names = {re.split(r"[:\[]", one)[0].lower(): one for one in options}
    close = difflib.get_close_matches(word.lower(), names, n=_SHOWN, cutoff=0.0)
    told = f"{kind} {within + word!r} is unknown"
    if likely := difflib.get_close_matches(word.lower(), close, n=1, cutoff=0.5):
        name = names[likely[0]][: len(likely[0])]
        told += f"; did you mean {within + name!r}?"
    if len(options) > _SHOWN:
        left = len(options) - len(close)
        options = [*(names[one] for one in close), f"and {left} more"]
    return f"{told} (choices: {', '.join(options)})"
