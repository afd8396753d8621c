"""Where a store is, as people write it; needs no library."""

import re
from dataclasses import dataclass
from pathlib import Path

from pytest_lem.errors import ConfigError

DEFAULT = ".lem/results.db"

_URL = re.compile(r"(?P<scheme>[a-z0-9+]+)://(?P<rest>.*)", re.DOTALL)
_SERVERS = ("postgresql", "postgres", "postgresql+psycopg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server's database, by the URL that SQLAlchemy reads, or a file that is one."""

    url: str = ""
    path: Path | None = None

    @property
    def arrays(self) -> Path | None:
        """The folder of bulky arrays beside a file; None for a server."""
        return None if self.path is None else Path(f"{self.path}.arrays")

    def __str__(self) -> str:
        """The place without its password."""
        if self.path is not None:
            return str(self.path)
        shown = self.url.replace("postgresql+psycopg:", "postgresql:", 1)
        shown = re.sub(r"(//[^/@:]*):[^/@]*@", r"\1:***@", shown)
        return re.sub(r"(?<=[?&])(password=)[^&]*", r"\1***", shown)


def parse_place(text: str, root: Path) -> Place:
    """The store that a path or a URL names; relative paths begin at `root`.

    Raises ConfigError with what is valid.
    """
    valid = "write a file's path, sqlite:///FILE or postgresql://USER@HOST/DATABASE"
    url = _URL.fullmatch(text.strip())
    scheme = url["scheme"] if url else "sqlite"
    if url and scheme in _SERVERS:
        return Place(url=f"postgresql+psycopg://{url['rest']}")
    if scheme != "sqlite":
        raise ConfigError(f"no database {scheme!r} is known: {valid}")
    name = url["rest"].removeprefix("/") if url else text.strip()
    if not name or name == ":memory:":
        raise ConfigError(f"names no file: {valid}")
    path = root / name
    if path.is_dir():
        raise ConfigError(f"{path} is a directory: {valid}")
    return Place(path=path)
