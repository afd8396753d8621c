"""The way into a Ray cluster; ray is imported here and nowhere before."""

from __future__ import annotations

import atexit
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from pytest_lem.cluster.outside import SCHEME, check_server
from pytest_lem.errors import ConfigError

NAMESPACE = "pytest-lem"
LEFT_HERE = [".git", ".lem", ".pytest_cache", "__pycache__", "*.pyc"]
"""What is not sent to nodes of the files below a folder."""

# Ray ends a process that has not reached the head for a minute, whatever it was about
# to write; we look ourselves (`head.py`).
_WAITS_FOR_HEAD = ("RAY_gcs_rpc_server_reconnect_timeout_s", "3600")
_REACHED_S = 5.0
_LEFT_WITHIN_S = 10.0
_JOINED_IN = 3
_NOT_STARTED = "Starting Ray client server failed"


@contextmanager
def connected(address: str = "auto", ship: Path | None = None) -> Iterator[Any]:
    """The `ray` module, connected; what was connected before stays so afterwards.

    `address` is as `ray.init` takes it: `auto` (RAY_ADDRESS, else the cluster that
    this machine is part of), `HOST:PORT`, or `ray://HOST:PORT` of Ray's client server.
    With `ship` Ray sends the files below that folder to the nodes. ConfigError where
    ray is not installed, where nothing answers, and where versions differ.
    """
    os.environ.setdefault(*_WAITS_FOR_HEAD)
    try:
        import ray
    except ImportError as error:
        msg = "Ray is not installed here: pip install 'pytest-lem[ray]'"
        raise ConfigError(msg) from error
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS", "auto") if address == "auto" else address
    _reach(address)
    sent = {"working_dir": str(ship), "excludes": LEFT_HERE} if ship else None
    try:
        _join(ray, address, sent)
    except (ConnectionError, ImportError, RuntimeError, ValueError) as error:
        raise ConfigError(_in_words(address, error)) from error
    try:
        yield ray
    finally:
        _leave(ray)


def _join(ray: Any, address: str, sent: dict[str, Any] | None) -> None:
    """Connect; again where Ray's client server failed to start what is to serve us.

    It forks beside threads of its own, and what it forks sometimes ends at once.
    """
    for left in reversed(range(_JOINED_IN)):
        try:
            ray.init(
                address=address,
                namespace=NAMESPACE,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env=sent,
            )
        except BaseException as error:
            if address.startswith(SCHEME):
                ray.shutdown()  # else what this process asks next is asked there
            if not left or _NOT_STARTED not in str(error):
                raise
        else:
            return


def _leave(ray: Any) -> None:
    """Disconnect; where the head is gone that does not return, and is left undone."""
    leaving = Thread(target=ray.shutdown, daemon=True)
    leaving.start()
    leaving.join(_LEFT_WITHIN_S)
    if leaving.is_alive():
        atexit.unregister(ray.shutdown)


def is_client(ray: Any) -> bool:
    """Whether we are outside, connected by Ray's client server."""
    return bool(ray.util.client.ray.is_connected())


def unreachable(address: str, within_s: float) -> OSError | None:
    """Why nothing listens at HOST:PORT; None where something does."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=within_s).close()
    except OSError as error:
        return error
    return None


def _reach(address: str) -> None:
    """Say at once that nothing listens there, which Ray tries for half a minute."""
    host, colon, port = address.removeprefix(SCHEME).rpartition(":")
    if not colon or not port.isdecimal():
        return
    if error := unreachable(f"{host}:{port}", _REACHED_S):
        msg = (
            f"no Ray cluster answers at {address} ({error}); `ray start --head` prints "
            "the address of one"
        )
        raise ConfigError(msg) from error
    if address.startswith(SCHEME):
        check_server(address)


def _in_words(address: str, error: Exception) -> str:
    told = " ".join(str(error).split())
    if "ersion mismatch" in told:
        return (
            f"the cluster at {address} has other versions than this environment; give "
            f"every node the same Python and ray: {told}"
        )
    if isinstance(error, ConnectionAbortedError):
        said = str(error).strip().splitlines()[-1]
        return f"Ray's client server at {address} begins nothing for us: {said}"
    if isinstance(error, ConnectionError) and ":" in address:
        return (
            f"what answers at {address} does not let us in ({told}): where the cluster "
            "asks for a token, set RAY_AUTH_MODE=token here, with the cluster's in "
            "~/.ray/auth_token"
        )
    if isinstance(error, ConnectionError):
        return (
            f"no Ray cluster is to be found by {address!r}: start one with `ray start "
            f"--head`, or name its address ({told})"
        )
    return f"the Ray cluster at {address} does not take us: {told}"
