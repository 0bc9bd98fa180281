"""The ServiceAccount of the pod that this runs in: where the API server is, whom to trust, and a token that changes."""

import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.errors import NotConnectedError

#: Where the kubelet puts the account of a pod.
SERVICE_ACCOUNT_DIRECTORY = Path("/var/run/secrets/kubernetes.io/serviceaccount")

#: The kubelet renews a token long before it ends; client-go, too, keeps one for a minute.
_CACHE_SECONDS = 60.0


class TokenFile:
    """A bearer token that stands in a file, and is another one from time to time.

    Args:
        path: the file.
        clock: seconds that only grow.

    Raises:
        NotConnectedError: there is no token in the file.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._header, self._read_at = self._read()

    async def authorization(self) -> str:
        """The header with the present token.

        Raises:
            NotConnectedError: the token cannot be read.
        """
        return self._header if self._clock() - self._read_at < _CACHE_SECONDS else await self.refresh()

    async def refresh(self) -> str:
        """The header with the token that the file holds now.

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
    """Whether this runs in a pod of a cluster."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


def in_cluster_connection(directory: Path | None = None) -> Connection:
    """The API server of the cluster that this pod is in.

    Args:
        directory: where the account's files are; the kubelet's own unless given.

    Raises:
        NotConnectedError: the account has no token.
        KeyError: Kubernetes has not said the API server's port.
        OSError: the account has no certificate to trust, or it is none.
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
    )
