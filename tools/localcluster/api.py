"""The few requests that a starting cluster needs, over the standard library's HTTPS client."""

import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster.errors import LocalClusterError
from localcluster.ports import LOOPBACK

TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Response:
    """What the API server said; status 0 when it did not answer at all."""

    status: int
    body: Any = None

    @property
    def is_success(self) -> bool:
        """Whether the request was granted."""
        return http.HTTPStatus.OK <= self.status < http.HTTPStatus.MULTIPLE_CHOICES


class ApiClient:
    """The API server on a loopback port, asked as its administrator."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        self._context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        self._context.load_cert_chain(folder / "admin.crt", folder / "admin.key")

    def get(self, path: str) -> Response:
        """Read one object, list or health endpoint."""
        return self._request("GET", path, None)

    def create(self, path: str, manifest: dict[str, Any]) -> Response:
        """Create an object in the collection at `path`."""
        return self._request("POST", path, json.dumps(manifest))

    def _request(self, method: str, path: str, content: str | None) -> Response:
        connection = http.client.HTTPSConnection(LOOPBACK, self._port, timeout=TIMEOUT_SECONDS, context=self._context)
        try:
            connection.request(method, path, content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        except ssl.SSLCertVerificationError as error:  # waiting will not help
            raise LocalClusterError(f"The API server's certificate is not accepted: {error.verify_message}.") from error
        except (OSError, http.client.HTTPException):
            return Response(0)
        finally:
            connection.close()
        try:
            return Response(answer.status, json.loads(text))
        except ValueError:
            return Response(answer.status, text.decode(errors="replace"))
