"""How people write where a store is."""

from pathlib import Path

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.store.place import parse_place

ROOT = Path("/root-of-project")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a/b.db", "/root-of-project/a/b.db"),
        ("/elsewhere/b.db", "/elsewhere/b.db"),
        ("sqlite:///b.db", "/root-of-project/b.db"),
        ("sqlite:////elsewhere/b.db", "/elsewhere/b.db"),
    ],
)
def test_a_file_is_named_by_its_path_or_by_a_url(text, path):
    """Relative to where the text stands, as SQLAlchemy counts slashes."""
    assert str(parse_place(text, ROOT)) == path


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_server_is_named_without_its_driver_and_shown_without_its_password(scheme):
    """The one that the extra brings is used."""
    found = parse_place(f"{scheme}://me:s3cret@host/db?password=s3cret&x=1", ROOT)
    assert found.url.startswith("postgresql+psycopg://me:s3cret@host/db")
    assert str(found) == "postgresql://me:***@host/db?password=***&x=1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mysql://host/db", "no database 'mysql' is known"),
        ("sqlite://", "names no file"),
        (":memory:", "names no file"),
        (" ", "names no file"),
        (".", "is a directory"),
    ],
)
def test_what_is_no_place_is_told_with_what_is(text, said, tmp_path):
    """Each way of writing it in one line."""
    with pytest.raises(ConfigError, match=f"{said}.*: write a file's path, sqlite:///"):
        parse_place(text, tmp_path)
