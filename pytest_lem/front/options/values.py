"""An option, and what its text may be: each raises ValueError with what is valid."""

import math
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

THERMAL_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """`--lem-NAME` and `lem_name`; `parse` raises ValueError with what is valid.

    `bare` is what the option says where it is typed without a value.
    """

    name: str
    parse: Callable[[str], Any]
    default: Any
    help: str
    metavar: str | None = None
    ini_only: bool = False
    many: bool = False
    bare: str | None = None

    @property
    def dest(self) -> str:
        """Name of the ini key and of the option's destination."""
        return "lem_" + self.name.replace("-", "_")

    @property
    def flag(self) -> str:
        """The option as it is typed."""
        return f"--lem-{self.name}"


def names(text: str) -> tuple[str, ...]:
    """`A,B`: at least one name."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        msg = "names nothing"
        raise ValueError(msg)
    return found


def one_of(*choices: str) -> Callable[[str], str]:
    """One of these words."""

    def parse(text: str) -> str:
        if text not in choices:
            msg = f"is none of {', '.join(choices)}"
            raise ValueError(msg)
        return text

    return parse


def number(
    kind: type, least: float, *, above: bool = False, most: float = math.inf
) -> Callable[[str], Any]:
    """A finite number, not below `least`, or above it; at most `most`."""

    def parse(text: str) -> Any:
        words = f"a number {'above' if above else 'of at least'} {least:g}"
        words += f" and at most {most:g}" if most < math.inf else ""
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or (kind is float and not math.isfinite(value)):
            raise ValueError(f"is not {words}")
        if value < least or value > most or (above and value == least):
            raise ValueError(f"is not {words}")
        return value

    return parse


def or_word(word: str, parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """What `parse` takes, or this word."""

    def either(text: str) -> Any:
        if text == word:
            return text
        try:
            return parse(text)
        except ValueError as error:
            raise ValueError(f"{error}, nor {word}") from None

    return either


windows = cycles = or_word("auto", number(int, 1))
order_seed = or_word("plan", number(int, 0))


def percent(text: str) -> float:
    """`N` or `N%`, above 0 and below 100, as a share."""
    try:
        share = float(text.strip().removesuffix("%")) / 100
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        msg = (
            "is no number of percent above 0 and below 100; the type of weights is "
            "said by --lem-set precision=..."
        )
        raise ValueError(msg)
    return share


def thermal(text: str) -> tuple[float | None, float]:
    """`C` or `stable`, and `,TIMEOUT`: degrees Celsius, and seconds to wait at most.

    None of degrees where they are to be steady.
    """
    heat, comma, limit = text.partition(",")
    above = number(float, 0, above=True)
    try:
        limit_c = None if heat.strip() == "stable" else above(heat)
        return limit_c, above(limit) if comma else THERMAL_TIMEOUT_S
    except ValueError as error:
        raise ValueError(f"{error}; write C or stable, or either,TIMEOUT") from None


def search(text: str) -> Any:
    """`max-goodput`, with terms or without."""
    from pytest_lem.spec.search import Search

    return Search.parse(text)


def truth(text: str) -> bool:
    """True or false, as people write them."""
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False}
    if text.lower() not in words | {"no": False}:
        msg = "is neither true nor false"
        raise ValueError(msg)
    return words.get(text.lower(), False)


def label(text: str) -> str:
    """A word that names records: letters, digits, and `._/-`."""
    if not re.fullmatch(r"[\w./-]{1,200}", text):
        msg = "is no label: write up to 200 letters, digits or any of . _ / -"
        raise ValueError(msg)
    if text == "last":
        msg = "is no label: --lem-compare=last means the latest sessions"
        raise ValueError(msg)
    return text


def interpreter(text: str) -> tuple[str, str]:
    """`BACKEND=PATH`: a backend and its Python."""
    backend, equals, path = text.partition("=")
    if not (equals and backend.strip() and path.strip()):
        msg = "is not BACKEND=PATH"
        raise ValueError(msg)
    return backend.strip(), path.strip()


def image(text: str) -> tuple[str, str]:
    """`BACKEND=IMAGE`, or the backend alone, which names its image as well."""
    backend, equals, name = (part.strip() for part in text.partition("="))
    if not backend or (equals and not name):
        msg = "is not BACKEND=IMAGE"
        raise ValueError(msg)
    return backend, name


def arguments(text: str) -> tuple[str, ...]:
    """Arguments as a shell reads them, of which none opens the wall or is a secret."""
    from pytest_lem.machine.environment import is_secret

    found = tuple(shlex.split(text))
    if any(one.startswith("--privileged") for one in found):
        msg = "has --privileged: --lem-container-privileged says that"
        raise ValueError(msg)
    named = [name for one in found for name in one.split("=")[:-1]]
    if any(is_secret(name) for name in named if not name.startswith("-")):
        msg = "has a secret, which every user could read: HF_TOKEN_PATH names a file"
        raise ValueError(msg)
    return found


def assignment(text: str) -> tuple[str, str]:
    """`KEY=VALUE`, the value as text."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        msg = "is not KEY=VALUE"
        raise ValueError(msg)
    if key.strip() in ("backend", "backends"):
        msg = "names an engine: say --lem-backend"
        raise ValueError(msg)
    return key.strip(), value.strip()
