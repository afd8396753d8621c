"""The application: what it answers, behind its guard, and never anew what is known."""

from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

import pytest_lem
from pytest_lem.errors import ConfigError, LemError
from pytest_lem.store.store import Store
from pytest_lem.web.api import api
from pytest_lem.web.guard import COOKIE, HEADERS, Guard
from pytest_lem.web.lately import Lately
from pytest_lem.web.pages import pages
from pytest_lem.web.rendering import page

_LEAST_BYTES = 1000
_PACKING = 5
Next = Callable[[Request], Awaitable[Response]]


def application(store: Store, guard: Guard) -> FastAPI:
    """The viewer of a store. Its OpenAPI is at /api/openapi.json."""
    app = FastAPI(
        title="pytest-lem",
        description="Records of a store, to be read.",
        version=pytest_lem.__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.store = store
    app.state.guard = guard
    app.state.lately = Lately(store)
    app.include_router(api)
    app.include_router(pages)
    for kind in (LemError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _told)
    # The last one added is asked first.
    app.middleware("http")(unchanged)
    app.add_middleware(
        GZipMiddleware, minimum_size=_LEAST_BYTES, compresslevel=_PACKING
    )
    app.middleware("http")(guarded)
    return app


async def guarded(request: Request, call_next: Next) -> Response:
    """Refuse who may not ask, and tell browsers what they may do with an answer."""
    guard: Guard = request.app.state.guard
    refusal = guard.refusal(request)
    if refusal is not None:
        answer = {"detail": refusal.reason}
        return JSONResponse(answer, refusal.status, {**HEADERS, **refusal.headers})
    brings = guard.brings(request)
    _forget_token(request)
    response = await call_next(request)
    if brings:
        response.set_cookie(COOKIE, guard.kept, httponly=True, samesite="strict")
    response.headers.update(HEADERS)
    return response


def _forget_token(request: Request) -> None:
    """It is for the guard alone."""
    asked = request.query_params.multi_items()
    rest = urlencode([(key, value) for key, value in asked if key != "token"])
    request.scope["query_string"] = rest.encode()


async def unchanged(request: Request, call_next: Next) -> Response:
    """Name an answer by its content, and send none that the asker has."""
    asked = request.method
    request.scope["method"] = "GET"
    response: Any = await call_next(request)
    request.scope["method"] = asked
    if response.status_code != 200:
        return _without_body(response) if asked == "HEAD" else response
    content = await _whole(response.body_iterator)
    headers = dict(response.headers)
    headers["ETag"] = f'W/"{sha256(content).hexdigest()[:32]}"'
    headers.setdefault("Cache-Control", "private, no-cache")
    if _has(request.headers.get("if-none-match", ""), headers["ETag"]):
        del headers["content-length"]
        return Response(status_code=304, headers=headers)
    return Response(b"" if asked == "HEAD" else content, headers=headers)


async def _whole(parts: AsyncIterator[bytes]) -> bytes:
    return b"".join([part async for part in parts])


def _without_body(response: Response) -> Response:
    return Response(b"", response.status_code, dict(response.headers))


def _has(known: str, tag: str) -> bool:
    told = [one.strip().removeprefix("W/") for one in known.split(",")]
    return tag.removeprefix("W/") in told or "*" in told


async def _told(request: Request, error: Exception) -> Response:
    """What is wrong, in one line; a store that is gone is the fault of the server."""
    if isinstance(error, HTTPException):
        return _answer(request, error.status_code, str(error.detail))
    if isinstance(error, RequestValidationError):
        told = [f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()]
        return _answer(request, 422, "; ".join(told))
    return _answer(request, 400 if isinstance(error, ConfigError) else 503, str(error))


def _answer(request: Request, status: int, reason: str) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"detail": reason}, status)
    return page("error.html", status=status, heading="Not shown", reason=reason)
