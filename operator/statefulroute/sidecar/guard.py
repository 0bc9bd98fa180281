"""Refuses requests that no program of the pod has meant to send: of web pages, and without the token."""

import hmac
from contextlib import suppress
from pathlib import Path

from aiohttp import hdrs, web

from statefulroute.monitoring.host_header import is_address
from statefulroute.rest.problems import ProblemError, ProblemKind


class TokenUnreadableError(Exception):
    """The file of the token cannot be read; the message says why."""


class TokenFile:
    """The token that requests must have, read again when its file has changed.

    Args:
        path: the file; white space around the token does not count.

    Raises:
        TokenUnreadableError: the file cannot be read, or is empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._modified_ns = -1
        self._token = b""
        try:
            self._read()
        except OSError as error:
            raise TokenUnreadableError(f"the token of --token-file cannot be read: {error}") from error
        if not self._token:
            raise TokenUnreadableError(f"the file {path} of --token-file is empty")

    def accepts(self, token: str) -> bool:
        """Returns whether a token is the one in the file; the last one counts while the file cannot be read."""
        with suppress(OSError):
            self._read()
        return hmac.compare_digest(token.encode(errors="surrogateescape"), self._token)

    def _read(self) -> None:
        modified_ns = self._path.stat().st_mtime_ns
        if modified_ns != self._modified_ns:
            token = self._path.read_bytes().strip()
            self._token, self._modified_ns = token or self._token, modified_ns


class RequestGuard:
    """Checks what the API requires of each request.

    Loopback alone keeps no web page out: a browser in the pod, or behind a port-forward, sends requests there for any
    page. Such a request names the page in `Origin`; or, after the page has changed what its own host name resolves to,
    that name in `Host`.

    Args:
        token: the token that requests must have; None requires none.
    """

    def __init__(self, token: TokenFile | None = None) -> None:
        self._token = token

    def check(self, request: web.BaseRequest) -> None:
        """Checks a request.

        Raises:
            ProblemError: it is refused.
        """
        if not is_address(request.headers.getall(hdrs.HOST, ())):
            raise ProblemError(ProblemKind.NOT_ALLOWED, "the Host must be localhost or an IP address")
        if hdrs.ORIGIN in request.headers:
            raise ProblemError(ProblemKind.NOT_ALLOWED, "web pages may not use this API: send no Origin")
        if self._token is None:
            return
        scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "bearer" or not self._token.accepts(token.strip()):
            raise ProblemError(ProblemKind.NOT_AUTHENTICATED, "send the token of --token-file as a bearer token")
