"""How metrics, numbers and names stand on a page."""

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.report.table import NONE, figure, visible

MOST_LETTERS = 160
_SUFFIXES = ("_js2", "_js", "_j", "_w", "_tps", "_rps", "_ms", "_mb", "_s", "_g_co2e")
_CAPITALS = {
    **{
        word: word.upper()
        for word in ("ttft", "itl", "tpot", "e2e", "edp", "ed2p", "cpu")
    },
    **{word: word.upper() for word in ("ram", "mfu", "mbu")},
    "flops": "FLOPs",
    "gb": "GB",
    "vram": "VRAM",
}


def title(metric: str) -> str:
    """What a metric is called, without its unit."""
    ends = [one for one in _SUFFIXES if metric.endswith(one)]
    name = metric.removesuffix(max(ends, key=len)) if ends else metric
    words = [_CAPITALS.get(word, word) for word in name.split("_")]
    told = " ".join(words)
    return told[0].upper() + told[1:]


def axis(metric: str) -> str:
    """The title of an axis: what, and in which unit."""
    return f"{title(metric)} [{METRICS[metric].unit}]"


def short(text: object, most: int = MOST_LETTERS) -> str:
    """Text on one line, in which nothing acts on a reader, cut where it is long."""
    told = str(text)
    told = visible(told[: most + 1])
    return told if len(told) <= most else f"{told[: most - 1]}…"


def number(value: float | None, digits: int = 4) -> str:
    """A number to so many digits; a dash where there is none."""
    return NONE if value is None else figure(value, digits)


def several(count: int, word: str) -> str:
    """So many of something."""
    return f"{count} {word}{'s' * (count != 1)}"


def half_width(low: float | None, high: float | None) -> str:
    """± half of the interval, to two digits; nothing without one."""
    if low is None or high is None:
        return ""
    return f"± {figure((high - low) / 2, 2)}"


def in_order(value: str) -> tuple[float, str]:
    """A key to sort by: numbers by what they are, before words."""
    try:
        return float(value), value
    except ValueError:
        return float("inf"), value
