"""Files that extend others: which there are, in which order, and from where at most."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.spec.files.reading import Limits, read

EXTENDS = ("extends", "_extends")


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """The folder that files may name others in, unless they may do so `anywhere`."""

    folder: Path
    anywhere: bool = False
    limits: Limits = field(default_factory=Limits)

    def shown(self, path: Path) -> str:
        """The path as people see it: relative to the folder where it lies there."""
        for folder in (self.folder, self.folder.resolve()):
            if path.is_relative_to(folder):
                return path.relative_to(folder).as_posix()
        return str(path)

    def named(self, text: Any, *, by: Path, key: str) -> Path:
        """The file that another one names under a key, links followed.

        Raises ConfigError for one outside of the folder.
        """
        try:
            return self.check(text, by=by, key=key)
        except ConfigError as error:
            raise self.error(by, error.message) from error

    def check(self, text: Any, *, by: Path, key: str) -> Path:
        """The same; what is wrong is said without the name of the file."""
        if not isinstance(text, str) or not text.strip() or "\0" in text:
            raise ConfigError(f"{key}={text!r} is no path of a file")
        found = (by.parent / text).resolve()
        if not self.anywhere and not found.is_relative_to(self.folder.resolve()):
            raise ConfigError(
                f"{key}={text!r} lies outside of {self.folder}: lem_config_root may "
                "name a wider folder, or --lem-config-anywhere allow it"
            )
        return found

    def error(self, path: Path, line: str) -> ConfigError:
        """What is wrong with a file, in one line that begins with its name."""
        return ConfigError(f"{self.shown(path)}: {line}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What one file says itself, as it is written; `name` is how it is shown."""

    path: Path
    name: str
    values: Mapping[str, Any]


def sources(path: Path, root: Root) -> list[Source]:
    """The files that make up one: those it extends before it, each once.

    Where several extend the same file, it comes before all of them: what one changes
    is not undone by the next. Raises ConfigError naming the file.
    """
    found: dict[Path, Source] = {}
    _visit(path, root, [], found)
    return list(found.values())


def inline(values: Mapping[str, Any], by: Path, root: Root) -> list[Source]:
    """The same for values that stand in the file `by`."""
    found: dict[Path, Source] = {}
    for base in _bases(values, by, root):
        _visit(base, root, [by], found)
    own = {key: one for key, one in values.items() if key not in EXTENDS}
    return [*found.values(), Source(path=by, name=root.shown(by), values=own)]


def _visit(
    path: Path, root: Root, below: Sequence[Path], found: dict[Path, Source]
) -> None:
    real = path.resolve()
    if real in [one.resolve() for one in below]:
        chain = " -> ".join(root.shown(one) for one in [*below, path])
        raise ConfigError(f"{root.shown(below[0])}: extends in a circle: {chain}")
    if real in found:
        return
    if len(below) > root.limits.depth:
        raise root.error(below[0], f"extends more than {root.limits.depth} levels")
    try:
        values = read(path, root.limits)
    except ConfigError as error:
        named_by = f" (which {root.shown(below[-1])} extends)" if below else ""
        raise root.error(path, f"{error.message}{named_by}") from error
    for base in _bases(values, path, root):
        _visit(base, root, [*below, path], found)
    own = {key: one for key, one in values.items() if key not in EXTENDS}
    found[real] = Source(path=path, name=root.shown(path), values=own)


def _bases(values: Mapping[str, Any], by: Path, root: Root) -> Iterator[Path]:
    said = [key for key in EXTENDS if key in values]
    if len(said) > 1:
        raise root.error(by, "has both extends and _extends: say one of them")
    for key in said:
        given = values[key]
        listed: Iterable[Any] = given if isinstance(given, list) else [given]
        for text in listed:
            yield root.named(text, by=by, key=key)
