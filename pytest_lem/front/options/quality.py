"""How good answers are, beside what they cost."""

from pathlib import Path

from pytest_lem.front.options.values import Option, names, number
from pytest_lem.workload.held_out import STRIDE_TOKENS, WINDOW_TOKENS

QUALITIES = ("perplexity",)


def qualities(text: str) -> tuple[str, ...]:
    """`A,B`: what is known of how good answers are."""
    found = names(text)
    for one in found:
        if one not in QUALITIES:
            msg = f"has {one!r}, which is none of {', '.join(QUALITIES)}"
            raise ValueError(msg)
    return found


QUALITY_OPTIONS: tuple[Option, ...] = (
    Option(
        name="quality",
        parse=qualities,
        default=(),
        metavar="NAME[,NAME]",
        help="how good the loaded model is, found after the windows: perplexity, of a "
        "held-out text and of what a window generated (default: nothing)",
    ),
    Option(
        name="quality-text",
        parse=Path,
        default=None,
        metavar="FILE",
        help="the held-out text of --lem-quality=perplexity, UTF-8 (default: a short "
        "one that ships with the plugin)",
    ),
    Option(
        name="quality-file",
        parse=Path,
        default=None,
        metavar="FILE",
        help="scores found elsewhere (BLEU, accuracy, ...), joined to the experiments: "
        "CSV or JSON with a column experiment, an id or identity, and one for each "
        "score, NAME, NAME:higher or NAME:lower (default: none)",
    ),
    Option(
        name="quality-window",
        parse=number(int, 2),
        default=WINDOW_TOKENS,
        ini_only=True,
        help="tokens of the held-out text that the model reads at once, or as many as "
        f"it can (default: {WINDOW_TOKENS})",
    ),
    Option(
        name="quality-stride",
        parse=number(int, 1),
        default=STRIDE_TOKENS,
        ini_only=True,
        help="tokens from the start of one such window to the next "
        f"(default: {STRIDE_TOKENS})",
    ),
)
