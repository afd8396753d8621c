"""What is said of a parameter beside its type: what it does, where it goes, its price.

Each field of a section is declared once, with all that is known of it. Checks, JSON
Schema, `lem params`, the pages in docs/ and the comparison with an installed engine are
read from there.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, Strict

from pytest_lem.spec.notes import Note

Int = Annotated[int, Strict()]
Float = Annotated[float, Strict()]
Bool = Annotated[bool, Strict()]
Target = str | Mapping[str, str]

QUANTITIES = {
    "E": "energy",
    "T": "throughput",
    "L": "latency",
    "M": "memory",
}
SIGNS = {"+": "more", "-": "less", "~": "depends", "0": "none"}
HARNESS = "pytest-lem"


class Section(BaseModel):
    """The parameters of one engine, or of one object of it.

    Every field is unset by default, which leaves the engine's own default. `native`
    names the objects that targets speak of, as `module:attribute`; `removed` has the
    names that are gone, each with what to use instead; `not_covered` what the engine
    takes and is no parameter, by reason.
    """

    # A section is built when it is first checked: most runs use one of them.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    native: ClassVar[Mapping[str, str]] = {}
    removed: ClassVar[Mapping[str, str]] = {}
    not_covered: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def doubts(self) -> Iterator[Note]:
        """What can be asked, and is seldom meant; paths begin inside of the section."""
        yield from ()


def parameter(
    to: Target,
    meaning: str,
    *,
    effect: str,
    own: str = "",
    unit: str = "",
    choices: str = "",
    advice: str = "",
    needs: str = "",
    versions: str = "",
    older: tuple[str, ...] = (),
    default: Any = None,
    **limits: Any,
) -> Any:
    """A field of a section.

    `to` is `object.argument` of the engine, or the object alone where the argument is
    called like the field; of a universal parameter it is that for each backend.
    `effect` says what setting or raising it does to energy per token, throughput and
    latency, and to memory: `E- T+ L0 M-`, with `measured` behind it where it was and
    not only expected; what is not named is not affected. `own` is the engine's default.
    `older` has former names, from the section's root, or from the top after a slash.
    """
    about: dict[str, Any] = {
        "target": to if isinstance(to, str) else dict(to),
        "effect": effects(effect),
        "engine_default": own,
        "unit": unit,
        "choices": choices,
        "advice": advice,
        "needs": needs,
        "versions": versions,
        "older_names": list(older),
    }
    extra = {key: value for key, value in about.items() if value}
    return Field(
        default=default,
        description=meaning,
        json_schema_extra=extra,
        **limits,
    )


def into(target: str) -> Callable[..., Any]:
    """`parameter` for the arguments of one object of the engine."""

    def argument(meaning: str, *, called: str = "", **rest: Any) -> Any:
        to = f"{target}.{called}" if called else target
        return parameter(to, meaning, **rest)

    return argument


def effects(text: str) -> dict[str, str]:
    """`E- T+ measured` as words; raises ValueError where it is neither."""
    found = {QUANTITIES[letter]: "none" for letter in "ETL"}
    basis = "expected"
    for word in text.split():
        if word == "measured":
            basis = word
        elif word[0] in QUANTITIES and word[1:] in SIGNS:
            found[QUANTITIES[word[0]]] = SIGNS[word[1:]]
        else:
            msg = f"{word!r} is no effect such as 'E-', 'T+', 'L~', 'M0' or 'measured'"
            raise ValueError(msg)
    return {**found, "basis": basis}
