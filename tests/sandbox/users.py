"""Users of sandboxes, and the gateway between them and the pods."""

import http.client
import time
from dataclasses import dataclass

from support.service import Service

_TIMEOUT_SECONDS = 90.0
_PATIENCE_SECONDS = 120.0
_RETRY_SECONDS = 0.1
_UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a sandbox.

    Attributes:
        status: the status code; 0 if the pod did not answer.
        text: the body.
        pod: the pod that the gateway has chosen.
    """

    status: int
    text: str
    pod: str = ""


class User:
    """Sends requests as a user does: to a gateway, which asks the resolver for each, and again after a 503.

    Args:
        service: the service.
        resolver: HOST:PORT of the resolver.
        uid: the user.

    Attributes:
        unavailable: how many requests were answered by 503, by a pod of another user for example.
    """

    def __init__(self, service: Service, resolver: str, uid: str) -> None:
        self.uid = uid
        self.unavailable = 0
        self._path = f"/authorize/{service.namespace}/{service.name}"
        self._resolver = resolver

    def run(self, command: str) -> Answer:
        """Runs a command in the user's sandbox."""
        return self._send("POST", "/run", command)

    def end(self) -> Answer:
        """Ends the session."""
        return self._send("DELETE", "/session")

    def try_once(self, method: str = "POST", path: str = "/run", body: str = "true", address: str = "") -> Answer:
        """Sends a request once, to the pod that the resolver names, or to an address."""
        pod = ""
        if not address:
            status, headers, text = _request(self._resolver, "GET", self._path, self.uid)
            if status != 200:
                return Answer(status, text)
            address, pod = headers["x-gateway-destination-endpoint"], headers["x-statefulroute-pod"]
        try:
            status, _, text = _request(address, method, path, self.uid, body)
        except (OSError, http.client.HTTPException):
            return Answer(0, "", pod)
        return Answer(status, text, pod)

    def _send(self, method: str, path: str, body: str = "") -> Answer:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            answer = self.try_once(method, path, body)
            if answer.status not in {0, _UNAVAILABLE} or time.monotonic() > deadline:
                return answer
            self.unavailable += 1
            time.sleep(_RETRY_SECONDS)


def _request(address: str, method: str, path: str, uid: str, body: str = "") -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request(method, path, body=body.encode(), headers={"x-user-id": uid})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read().decode()
    finally:
        connection.close()
