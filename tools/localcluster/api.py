"""Sends the few requests that a starting cluster needs, with the standard library's HTTPS client."""

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
    """A response of the API server; status 0 means no response."""

    status: int
    body: Any = None

    @property
    def is_success(self) -> bool:
        """Whether the request succeeded."""
        return http.HTTPStatus.OK <= self.status < http.HTTPStatus.MULTIPLE_CHOICES


class ApiClient:
    """A client of the API server on a loopback port, as its administrator."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        self._context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        self._context.load_cert_chain(folder / "admin.crt", folder / "admin.key")

    def get(self, path: str) -> Response:
        """Reads an object, a list or a health endpoint."""
        return self._request("GET", path, None)

    def create(self, path: str, manifest: dict[str, Any]) -> Response:
        """Creates an object in the collection at `path`."""
        return self._request("POST", path, json.dumps(manifest))

    def _request(self, method: str, path: str, content: str | None) -> Response:
        connection = http.client.HTTPSConnection(LOOPBACK, self._port, timeout=TIMEOUT_SECONDS, context=self._context)
        try:
            connection.request(method, path, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        except ssl.SSLCertVerificationError as error:  # a retry does not help
            raise LocalClusterError(f"The API server's certificate is not accepted: {error.verify_message}.") from error
        except (OSError, http.client.HTTPException):
            return Response(0)
        finally:
            connection.close()
        try:
            return Response(response.status, json.loads(text))
        except ValueError:
            return Response(response.status, text.decode(errors="replace"))
