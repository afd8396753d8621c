"""Who may ask, for what, and what browsers may do with the answer.

A page of elsewhere can make a browser ask for addresses here, and can give its own name
this machine's address: hence the check of the name that is asked for.
"""

import hmac
import re
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import Request

from pytest_lem.errors import ConfigError

COOKIE = "lem_token"
LEAST_TOKEN = 16
_PLAIN = re.compile(r"[\w.~+/=-]+", re.ASCII)
METHODS = ("GET", "HEAD")
# Plotly styles what it draws, and makes images of it to save.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request is not answered, as HTTP says it."""

    status: int
    reason: str

    @property
    def headers(self) -> dict[str, str]:
        """What goes with such a status."""
        told = {405: ("Allow", ", ".join(METHODS)), 401: ("WWW-Authenticate", "Bearer")}
        return dict([told[self.status]]) if self.status in told else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """By which names it may be asked, and the token that who asks must know."""

    names: Collection[str] = ()
    token: str | None = None

    def refusal(self, request: Request) -> Refusal | None:
        """Why a request is refused; None where it is not."""
        if not self._is_here(request.headers.get("host", "")):
            reason = "this server has another name: start it with --name"
            return Refusal(status=421, reason=reason)
        if request.method not in METHODS:
            return Refusal(status=405, reason="nothing is written here")
        if self.token is not None and not self._may(request):
            reason = "a token is needed: ?token=TOKEN once, or Authorization: Bearer"
            return Refusal(status=401, reason=reason)
        return None

    def brings(self, request: Request) -> bool:
        """Whether the token is in the address, for a browser to keep it."""
        return self._is(request.query_params.get("token", ""))

    @property
    def kept(self) -> str:
        """What a browser keeps in place of the token."""
        return sha256(f"lem {self.token}".encode()).hexdigest()

    def _may(self, request: Request) -> bool:
        kind, _, said = request.headers.get("authorization", "").partition(" ")
        kept = request.cookies.get(COOKIE, "")
        return (
            (kind.lower() == "bearer" and self._is(said.strip()))
            or hmac.compare_digest(kept.encode(), self.kept.encode())
            or self.brings(request)
        )

    def _is(self, said: str) -> bool:
        if self.token is None:
            return False
        return hmac.compare_digest(said.encode(), self.token.encode())

    def _is_here(self, host: str) -> bool:
        """Addresses are: who lies about a name must have one."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name == "localhost" or name in self.names or _is_address(name)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def check_token(host: str, token: str | None) -> None:
    """Raise ConfigError where others reach the address and need no token."""
    if token is not None and not (
        len(token) >= LEAST_TOKEN and _PLAIN.fullmatch(token)
    ):
        raise ConfigError(
            f"a token has {LEAST_TOKEN} letters, digits or more, which nobody guesses: "
            "`openssl rand -hex 16` makes one"
        )
    if token is None and not is_loopback(host):
        raise ConfigError(
            f"others than this machine reach {host}: set a token, LEM_TOKEN or --token"
        )


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
