"""Styles and scripts of a page, inlined with their hashes, or linked to."""

import json
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from math import isfinite
from typing import Any

SCRIPTS = ("start.js", "table.js", "charts.js", "details.js")
STYLES = ("style.css",)
_SEPARATORS = str.maketrans({"<": "\\u003c", "\u2028": "\\u2028", "\u2029": "\\u2029"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A style or script of ours, by its name."""

    name: str
    text: str

    @property
    def source(self) -> str:
        """What a content security policy calls this text."""
        return f"'sha256-{b64encode(sha256(self.text.encode()).digest()).decode()}'"


def scripts() -> list[Asset]:
    """Ours, in the order in which they run."""
    return [_static(name) for name in SCRIPTS]


def styles() -> list[Asset]:
    """Ours."""
    return [_static(name) for name in STYLES]


def plotly() -> Asset:
    """The library that draws, as the installed package has it."""
    from plotly.offline import get_plotlyjs

    return Asset(name="plotly.min.js", text=get_plotlyjs())


def as_json(value: Any) -> str:
    """JSON that may stand between tags of a script."""
    try:
        told = json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:
        told = json.dumps(plain(value), separators=(",", ":"))
    return told.translate(_SEPARATORS)


def plain(value: Any, digits: int | None = None) -> Any:
    """The value, its numbers to so many digits; JSON has no word for what is none."""
    if isinstance(value, float):
        if not isfinite(value):
            return None
        return value if digits is None else float(f"{value:.{digits}g}")
    if isinstance(value, dict):
        return {key: plain(one, digits) for key, one in value.items()}
    if isinstance(value, list):
        return [
            plain(one, digits) if isinstance(one, float | dict | list) else one
            for one in value
        ]
    return value


def _static(name: str) -> Asset:
    path = files("pytest_lem.report.html") / "static" / name
    return Asset(name=name, text=path.read_text(encoding="utf-8"))
