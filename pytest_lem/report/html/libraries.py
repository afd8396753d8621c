"""What a page needs that measuring does not."""

from importlib.util import find_spec

from pytest_lem.errors import ConfigError


def check_libraries() -> None:
    """Raise ConfigError, with what to install, where a library is missing."""
    for name in ("jinja2", "plotly"):
        if find_spec(name) is None:
            raise ConfigError(
                f"an HTML report needs {name}: pip install 'pytest-lem[report]'"
            )
