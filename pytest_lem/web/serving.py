"""A server of the viewer, until it is interrupted."""

import os
import socket

import uvicorn
from fastapi import FastAPI

from pytest_lem.errors import ConfigError

# A browser keeps connections open that it may never use again.
_GRACE_S = 3


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; raises ConfigError where there cannot be one."""
    try:
        ((family, *_, address), *_) = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )
        return socket.create_server(address[:2], family=family)
    except socket.gaierror as error:
        reason = error.strerror
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
    raise ConfigError(f"{host}:{port}: {reason}; --host and --port say where else")


def address_of(listener: socket.socket) -> str:
    """Where a browser finds it."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if listener.family == socket.AF_INET6 else host
    return f"http://{shown}:{port}/"


def serve(app: FastAPI, listener: socket.socket) -> None:
    """Answer until SIGINT or SIGTERM, which is raised again when all is closed."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    uvicorn.Server(config).run(sockets=[listener])
