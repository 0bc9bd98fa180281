"""Loads the connection from the ServiceAccount of the pod that this process runs in."""

import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.errors import NotConnectedError

#: Where the kubelet mounts the ServiceAccount of a pod.
SERVICE_ACCOUNT_DIRECTORY = Path("/var/run/secrets/kubernetes.io/serviceaccount")

#: How long a token is cached, as in client-go; the kubelet renews a token long before it expires.
_CACHE_SECONDS = 60.0


class TokenFile:
    """Credentials from a file with a bearer token, which is replaced from time to time.

    Args:
        path: the path of the file.
        clock: returns monotonic seconds.

    Raises:
        NotConnectedError: the file has no token.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._header, self._read_at = self._read()

    async def authorization(self) -> str:
        """Returns the header with the cached token, and reads the file again after a minute.

        Raises:
            NotConnectedError: the token cannot be read.
        """
        return self._header if self._clock() - self._read_at < _CACHE_SECONDS else await self.refresh()

    async def refresh(self) -> str:
        """Reads the file and returns the header with its token.

        Raises:
            NotConnectedError: the token cannot be read.
        """
        self._header, self._read_at = self._read()
        return self._header

    def _read(self) -> tuple[str, float]:
        try:
            token = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            raise NotConnectedError(f"cannot read the token of the ServiceAccount ({error})") from error
        if not token:
            raise NotConnectedError(f"cannot read the token of the ServiceAccount (the file {self._path} is empty)")
        return f"Bearer {token}", self._clock()


def is_in_cluster() -> bool:
    """Returns whether this process runs in a pod."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


def in_cluster_connection(directory: Path | None = None) -> Connection:
    """Returns the connection to the API server of the pod's cluster.

    Args:
        directory: the directory of the ServiceAccount's files; None is the kubelet's.

    Raises:
        NotConnectedError: the ServiceAccount has no token.
        KeyError: the environment has no port of the API server.
        OSError: the CA certificate is missing or malformed.
    """
    directory = directory or SERVICE_ACCOUNT_DIRECTORY
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    namespace = directory / "namespace"
    return Connection(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        tls=ssl.create_default_context(cafile=directory / "ca.crt"),
        ca_file=directory / "ca.crt",
        credentials=TokenFile(directory / "token"),
        namespace=(namespace.read_text(encoding="utf-8").strip() if namespace.exists() else "") or "default",
        is_of_pod=True,
    )
