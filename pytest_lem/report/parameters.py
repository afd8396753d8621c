"""What `lem params` tells people."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from pytest_lem.engines.difference import Difference, difference
from pytest_lem.engines.driven import drives
from pytest_lem.engines.recorded import check_backend, record
from pytest_lem.engines.registry import BUILT_IN
from pytest_lem.errors import ConfigError
from pytest_lem.spec import catalogue
from pytest_lem.spec.catalogue import BACKENDS, UNIVERSAL, Row
from pytest_lem.spec.nearest import unknown
from pytest_lem.spec.parameters import SECTION_ALIASES

NAMES = {"vllm": "vLLM", "tensorrt": "TensorRT-LLM"}
_LETTERS = {"energy": "E", "throughput": "T", "latency": "L", "memory": "M"}
_SIGNS = {"more": "+", "less": "-", "depends": "~"}


def chosen(backend: str | None) -> list[str]:
    """The lists meant by a backend's name or alias, or all; ConfigError for others."""
    known = [UNIVERSAL, *BACKENDS]
    if backend is None:
        return known
    name = SECTION_ALIASES.get(backend, backend)
    if name not in known:
        raise ConfigError(unknown("backend", backend, known))
    return [name]


def listing(
    lists: Iterable[str], *, as_json: bool = False, as_schema: bool = False
) -> Iterator[str]:
    """The parameters, one a line: name, effect, meaning and range; or as JSON."""
    for of in lists:
        rows = catalogue.rows(of)
        wide = max(len(row.path) for row in rows)
        if as_schema:
            yield json.dumps(catalogue.schema(of))
        elif as_json:
            yield from (json.dumps(row.to_json()) for row in rows)
        else:
            yield from (
                f"{row.path:<{wide}}  {effect(row.effect):<20}  "
                f"{row.meaning} ({takes(row)}){_aside(of, row)}"
                for row in rows
            )


def difference_lines(
    lists: Iterable[str], python: str, *, as_json: bool = False
) -> Iterator[str]:
    """What `lem params --diff` says of engines, the universal list left out.

    Raises EngineNotAvailable where an engine is there and cannot be imported.
    """
    for backend in lists:
        if backend != UNIVERSAL:
            found = difference(backend, python)
            yield from [json.dumps(found.to_json())] if as_json else _told(found)


def record_lines(lists: Iterable[str], file: Path, python: str) -> Iterator[str]:
    """Write down what one installed engine takes, and tell which version that was.

    Raises ConfigError unless one backend was named, EngineNotAvailable without it.
    """
    (backend, *others) = lists
    if others:
        raise ConfigError("--record needs --backend: one engine's are written down")
    check_backend(backend)
    version = record(backend, file, python)
    name = NAMES.get(backend, backend)
    yield f"{file}: what {name} {version} takes"


def _told(found: Difference) -> list[str]:
    name = NAMES.get(found.backend, found.backend)
    if found.version is None:
        return [f"{name} is not installed here: nothing to compare with"]
    renamed = [f"  renamed  {old}, now {new}" for old, new in found.renamed.items()]
    absent = [f"  absent   {one}" for one in found.absent]
    gone = [f"  gone     {one}" for one in found.gone if one not in found.renamed]
    late = {*found.renamed.values()}
    new = [f"  new      {one}" for one in found.new if one not in late]
    there = "recorded, for it is not installed here; " if found.recorded else ""
    head = (
        f"{name} {found.version}; {there}parameters were written for "
        f"{found.written_for}"
    )
    return [head, f"  same     {found.same} arguments", *absent, *gone, *renamed, *new]


def effect(words: Mapping[str, str]) -> str:
    """`E- T+ measured`; a dash where nothing is affected."""
    told = [
        f"{letter}{_SIGNS[words[quantity]]}"
        for quantity, letter in _LETTERS.items()
        if words.get(quantity) in _SIGNS
    ]
    told += ["measured"] if words["basis"] == "measured" else []
    return " ".join(told) or "-"


def takes(row: Row) -> str:
    """What a parameter may be."""
    choices = [f"one of {row.range}"] if row.type == "choice" else [row.type]
    choices += [row.range] if row.type != "choice" and row.range else []
    choices += [row.choices] if row.choices else []
    return "; ".join([*choices, *([row.unit] if row.unit else [])])


def obeyed(of: str) -> Collection[str] | None:
    """What the engine of this version obeys; None where there is none."""
    entry = next((one for one in BUILT_IN if one.name == of), None)
    return entry.driven if entry else None


def _aside(of: str, row: Row) -> str:
    if of == UNIVERSAL or drives(row.path, obeyed(of) or (), section=of):
        return ""
    return " [not driven yet]"
