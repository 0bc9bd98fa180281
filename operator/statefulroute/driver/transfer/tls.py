"""The TLS contexts of a pod as the server and as the client of other pods, from files that may be replaced."""

import ssl
from pathlib import Path

from statefulroute.cluster.field_logger import get_logger
from statefulroute.driver.hand_over_configuration import TLSFiles

log = get_logger(__name__)

_Stamps = tuple[tuple[int, int, int], ...]


class TLSContexts:
    """Reads the files again when they have changed. If they are invalid, the last ones stay in use.

    Args:
        files: the files.

    Raises:
        OSError: a file is missing, or invalid.
    """

    def __init__(self, files: TLSFiles) -> None:
        self._files = files
        self._stamps = self._read_stamps()
        self._server, self._client = self._load()
        self._listening = self._load()[0]
        """The context of the listening socket: each connection replaces it by the present one."""
        self._listening.sni_callback = self._replace

    @property
    def listening(self) -> ssl.SSLContext:
        """The context for a listening socket, which always has the present certificate and authorities."""
        return self._listening

    @property
    def client(self) -> ssl.SSLContext:
        """The context for a connection to another pod."""
        self._reload()
        return self._client

    @property
    def server_name(self) -> str | None:
        """The name that the certificate of another pod must have."""
        return self._files.server_name

    def _replace(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        self._reload()
        connection.context = self._server

    def _reload(self) -> None:
        stamps = self._read_stamps()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            self._server, self._client = self._load()
        except OSError as error:
            log.warning("cannot read the certificates for hand-overs: the last ones stay in use", error=str(error))

    def _load(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        contexts = []
        for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
            context = ssl.SSLContext(protocol)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.check_hostname = protocol is ssl.PROTOCOL_TLS_CLIENT and self._files.server_name is not None
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_cert_chain(self._files.certificate, self._files.key)
            context.load_verify_locations(self._files.ca)
            if protocol is ssl.PROTOCOL_TLS_SERVER:  # a resumed session would skip the verification of the client
                context.options |= ssl.OP_NO_TICKET
                context.num_tickets = 0
            contexts.append(context)
        return contexts[0], contexts[1]

    def _read_stamps(self) -> _Stamps:
        return tuple(_stamp(path) for path in (self._files.certificate, self._files.key, self._files.ca))


def _stamp(path: Path) -> tuple[int, int, int]:
    """Returns what changes when a file is replaced; zeros if there is none."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_mtime_ns, status.st_ino, status.st_size
