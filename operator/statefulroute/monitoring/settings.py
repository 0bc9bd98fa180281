"""The settings of servers that use TLS."""

from dataclasses import dataclass
from pathlib import Path

from statefulroute.monitoring.bind_address import BindAddress


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The TLS files, in PEM.

    Attributes:
        certificate: the server's certificate chain.
        key: the private key.
        client_ca: the CA certificates for client certificates; None requires no client certificate.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths of all files."""
        return (self.certificate, self.key, *([] if self.client_ca is None else [self.client_ca]))


@dataclass(frozen=True, slots=True)
class MetricsEndpoint:
    """Where and to whom metrics are served over TLS.

    Attributes:
        address: the address to listen on.
        tls: the TLS files.
        authenticates: whether clients need a token whose user may get the path `/metrics`.
    """

    address: BindAddress
    tls: TlsFiles
    authenticates: bool = False
