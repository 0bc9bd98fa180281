"""Who may use the console: only pages that it has served itself, at an address that contains its token."""

import ipaddress
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from statefulroute.console.responses import RequestError, error_response

#: The headers of every response. The page loads only what this server serves, runs no inline script, cannot assign
#: text as HTML (Trusted Types without a policy), and cannot be shown in a frame.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

#: The name of the only route without the token: it has a code in its place.
OPEN = "open"

#: How long the code is valid with which a browser is opened.
_CODE_SECONDS = 60.0


def is_loopback(host: str) -> bool:
    """Returns whether a host is this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass
class Access:
    """The secrets of one console.

    Attributes:
        host: the host that the server listens on.
        token: the part of the address without which no path is served.
    """

    host: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    _code: str = field(default="", repr=False)
    _code_ends: float = 0.0

    def new_code(self) -> str:
        """Returns a code that opens the console once, within a minute.

        The command line of a browser is visible to all users of a machine, so it contains this code and not the token.
        """
        self._code, self._code_ends = secrets.token_urlsafe(32), time.monotonic() + _CODE_SECONDS
        return self._code

    def take_code(self, code: str) -> bool:
        """Returns whether a code is valid; it is not valid any more afterwards."""
        is_valid = (
            bool(self._code)
            and time.monotonic() < self._code_ends
            and secrets.compare_digest(code.encode(), self._code.encode())
        )
        if is_valid:
            self._code = ""
        return is_valid

    def is_token(self, text: str) -> bool:
        """Returns whether a part of an address is the token."""
        return secrets.compare_digest(text.encode(), self.token.encode())

    def is_own_host(self, header: str) -> bool:
        """Returns whether a `Host` names this server in a way that no name server can forge (DNS rebinding).

        On loopback, that is a name of this machine; elsewhere any address, or the name that it was told to listen on.
        """
        name = header.rpartition(":")[0] if _has_port(header) else header
        name = name.removeprefix("[").removesuffix("]").lower()
        if name in _LOOPBACK_NAMES:
            return True
        if is_loopback(self.host):
            return is_loopback(name) and name == self.host
        return name == self.host.lower() or _is_address(name)


def _has_port(header: str) -> bool:
    return not header.endswith("]") and ":" in header


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def guard(access: Access) -> Middleware:
    """Returns the middleware that refuses requests without the token, of other pages and to other host names."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return _refusal(access, request) or await handler(request)
        except RequestError as error:
            return error_response(error.status, str(error))
        except web.HTTPException as error:
            return error_response(error.status, error.reason)

    return check


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Add the headers of every response, also of those to requests that are refused or fail."""
    response.headers.update(HEADERS)


def _refusal(access: Access, request: web.Request) -> web.Response | None:
    """Returns the response to a request that is refused; None if it is not."""
    if not access.is_own_host(request.headers.get("Host", "")):
        return error_response(403, "this server does not have that name: open the address that the command has printed")
    if request.match_info.route.name == OPEN:
        return None
    if not access.is_token(request.match_info.get("token", "")):
        return error_response(401, "the token is missing or wrong: open the address that the command has printed")
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        return error_response(403, "the request is from a page of another site")
    origin = request.headers.get("Origin")
    is_own = origin == f"http://{request.headers['Host']}"
    if not is_own and (origin is not None or request.method not in {"GET", "HEAD"}):
        return error_response(403, "the request is not from a page of this console")
    return None
