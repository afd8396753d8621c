"""`lem serve`: a store to look at in the browser."""

from importlib.util import find_spec
from typing import Annotated

import typer

from pytest_lem.cli.app import app
from pytest_lem.cli.choosing import DEFAULT_STORE, Where, opened, refusing
from pytest_lem.errors import ConfigError
from pytest_lem.store.wanted import Wanted

_INTERRUPTED = 130


@app.command()
def serve(
    *,
    store: Where = DEFAULT_STORE,
    host: Annotated[
        str, typer.Option(help="The address to listen at; others need a token.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Its port; 0 takes a free one.")
    ] = 8300,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="LEM_TOKEN",
            metavar="TOKEN",
            help="What who asks must know; better by LEM_TOKEN, which `ps` does not "
            "tell.",
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A name of this machine that may be asked; repeatable."
        ),
    ] = None,
) -> None:
    """Show a store in the browser: search, compare, trends; it is read and not written.

    Only this machine reaches it unless --host says more, which needs a token.
    """
    with refusing():
        _check_libraries()
    from pytest_lem.web.application import application
    from pytest_lem.web.guard import Guard, check_token
    from pytest_lem.web.serving import address_of, listening
    from pytest_lem.web.serving import serve as answer

    with opened(store) as there:
        check_token(host, token)
        guard = Guard(names={host, *(name or ())}, token=token)
        with listening(host, port) as listener:
            if not there.page(Wanted(limit=1)).records:
                typer.echo(f"{there.place} has no records yet", err=True)
            typer.echo(f"{there.place} at {address_of(listener)} (Ctrl-C ends)")
            try:
                answer(application(there, guard), listener)
            except KeyboardInterrupt:
                raise typer.Exit(_INTERRUPTED) from None


def _check_libraries() -> None:
    """Raise ConfigError, with what to install, where a library is missing."""
    for library in ("fastapi", "uvicorn", "jinja2", "plotly"):
        if find_spec(library) is None:
            raise ConfigError(
                f"lem serve needs {library}: pip install 'pytest-lem[web]'"
            )
