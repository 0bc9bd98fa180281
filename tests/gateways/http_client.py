"""Sends requests of users through a gateway."""

import http.client
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response.

    Attributes:
        status: the HTTP status.
        headers: the headers, in lower case.
        body: the body.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def pod(self) -> str:
        """The pod that sent the response."""
        return self.headers.get("x-pod", "")

    @property
    def echoed(self) -> dict[str, Any]:
        """The request as the pod received it."""
        return dict(json.loads(self.body))

    def echoed_headers(self, name: str) -> list[str]:
        """Returns the values of a header as the pod received it."""
        return [value for known, value in self.echoed["headers"] if known == name]


def send_request(
    url: str, headers: Sequence[tuple[str, str]] = (), *, path: str = "/", method: str = "GET", body: bytes = b""
) -> Reply:
    """Sends a request with exactly these headers, including repeated and unusual ones."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_SECONDS)
    try:
        connection.putrequest(method, path, skip_host=any(name.lower() == "host" for name, _ in headers))
        for name, value in headers:
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        with connection.getresponse() as response:
            response_headers = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, response_headers, response.read())
    finally:
        connection.close()
