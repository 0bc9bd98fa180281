"""The settings of servers that use TLS."""

from dataclasses import dataclass
from pathlib import Path

from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.monitoring.tls_protocol import DEFAULT_PROTOCOL, TlsProtocol


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The TLS files of a server, in PEM, and what its clients may negotiate.

    Attributes:
        certificate: the server's certificate chain.
        key: the private key.
        client_ca: the CA certificates for client certificates; None requires no client certificate.
        protocol: the versions and cipher suites.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    protocol: TlsProtocol = DEFAULT_PROTOCOL

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths of all files."""
        return (self.certificate, self.key, *([] if self.client_ca is None else [self.client_ca]))


@dataclass(frozen=True, slots=True)
class MetricsEndpoint:
    """Where and to whom metrics are served over TLS.

    Attributes:
        address: the address to listen on.
        tls: the TLS files, and the versions and cipher suites.
        authenticates: whether clients need a token whose user may get the path `/metrics`.
    """

    address: BindAddress
    tls: ServerTls
    authenticates: bool = False
