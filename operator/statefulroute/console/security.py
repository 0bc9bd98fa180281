"""Who may use the console: only pages that it has served itself, at an address that contains a token."""

import asyncio
import ipaddress
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

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

#: The name of the only route without a token: it has a code in its place.
OPEN = "open"

#: The name of the route of the first page.
INDEX = "index"

#: How long the code is valid with which a browser is opened, in seconds.
CODE_SECONDS = 60.0

_OPEN_PRINTED = "open the address that the command has printed"


def is_loopback(host: str) -> bool:
    """Returns whether a host is this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class CodeUsedTwiceError(RequestError):
    """A code was used by two, one of whom must not have it."""


@dataclass(frozen=True)
class Session:
    """Pages that use the console with the same token.

    Attributes:
        token: the part of their addresses without which no path is served.
        ended: is set when the token is not valid any more.
    """

    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Code:
    """What opens the console once, so that the browser needs no token to begin with.

    Attributes:
        text: the code.
        used: is set when it is used.
    """

    text: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    used: asyncio.Event = field(default_factory=asyncio.Event)
    ends: float = field(default_factory=lambda: time.monotonic() + CODE_SECONDS)
    session: Session | None = None


class Access:
    """The secrets of one console.

    Args:
        host: the host that the server listens on.

    Attributes:
        token: the token in the address that the command prints.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        printed = Session()
        self.token = printed.token
        self._sessions = [printed]
        self._code: Code | None = None

    def new_code(self) -> Code:
        """Returns a code that opens the console once, within a minute."""
        self._code = Code()
        return self._code

    def use_code(self, text: str) -> Session:
        """Returns a new session for the first who uses a code; the second one ends that session.

        Raises:
            CodeUsedTwiceError: it was used before.
            RequestError: there is no such code, or it is too old.
        """
        code = self._code
        if code is None or not secrets.compare_digest(text.encode(), code.text.encode()):
            raise RequestError(HTTPStatus.FORBIDDEN, f"this address is not valid: {_OPEN_PRINTED}")
        if code.session is not None:
            self._code = None
            self._end(code.session)
            raise CodeUsedTwiceError(
                HTTPStatus.FORBIDDEN,
                f"this address was used twice, so the page that it has opened first is closed: {_OPEN_PRINTED}",
            )
        if time.monotonic() >= code.ends:
            raise RequestError(
                HTTPStatus.FORBIDDEN, f"this address was valid for {CODE_SECONDS:.0f} s only: {_OPEN_PRINTED}"
            )
        code.session = Session()
        self._sessions.append(code.session)
        code.used.set()
        return code.session

    def session(self, token: str) -> Session:
        """Returns the session of a token.

        Raises:
            RequestError: the token is not valid.
        """
        for session in self._sessions:
            if secrets.compare_digest(token.encode(), session.token.encode()):
                return session
        raise RequestError(HTTPStatus.UNAUTHORIZED, f"the token is missing or wrong: {_OPEN_PRINTED}")

    def end_sessions(self) -> None:
        """End all sessions: the server stops."""
        for session in [*self._sessions]:
            self._end(session)

    def _end(self, session: Session) -> None:
        self._sessions.remove(session)
        session.ended.set()

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
    """Returns the response to a request that is refused; None if it is not.

    Raises:
        RequestError: the token is not valid.
    """
    if not access.is_own_host(request.headers.get("Host", "")):
        return error_response(403, f"this server does not have that name: {_OPEN_PRINTED}")
    if request.match_info.route.name == OPEN:
        return None
    access.session(request.match_info.get("token", ""))
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"} and not _is_opened(request):
        return error_response(403, "the request is from a page of another site")
    origin = request.headers.get("Origin")
    is_own = origin == f"http://{request.headers['Host']}"
    if not is_own and (origin is not None or request.method not in {"GET", "HEAD"}):
        return error_response(403, "the request is not from a page of this console")
    return None


def _is_opened(request: web.Request) -> bool:
    """Returns whether a tab is led to the first page: by the file that opens it, or by a terminal in a web page."""
    kind = request.headers.get("Sec-Fetch-Mode"), request.headers.get("Sec-Fetch-Dest")
    return request.match_info.route.name == INDEX and kind == ("navigate", "document")
