"""The options of metrics over TLS."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from statefulroute.monitoring.settings import MetricsEndpoint
    from statefulroute.monitoring.tls_protocol import TlsProtocol

# Functions import what the extras install, so that the help of the commands works without them.


def metrics_endpoint(
    address: str | None,
    certificate: Path | None,
    key: Path | None,
    protocol: "TlsProtocol",
    *,
    authenticates: bool,
) -> "MetricsEndpoint | None":
    """Returns the settings of the options; None serves metrics without TLS.

    Args:
        address: the value of `--metrics-address`.
        certificate: the value of `--metrics-tls-certificate`.
        key: the value of `--metrics-tls-key`.
        protocol: the versions and cipher suites of TLS.
        authenticates: whether `--metrics-authentication` is set.

    Raises:
        BadParameter: an option is missing that another one needs.
        ValueError: the address is not HOST:PORT.
    """
    from statefulroute.monitoring.bind_address import BindAddress  # noqa: PLC0415
    from statefulroute.monitoring.settings import MetricsEndpoint, ServerTls  # noqa: PLC0415
    from statefulroute.monitoring.tls_protocol import DEFAULT_PROTOCOL  # noqa: PLC0415

    if address is not None and certificate is not None and key is not None:
        return MetricsEndpoint(
            BindAddress.parse(address), ServerTls(certificate, key, protocol=protocol), authenticates
        )
    if any(option is not None for option in (address, certificate, key)):
        raise typer.BadParameter(
            "--metrics-address, --metrics-tls-certificate and --metrics-tls-key belong together: give all or none"
        )
    if protocol != DEFAULT_PROTOCOL:
        raise typer.BadParameter("--metrics-tls-min-version and --metrics-tls-cipher-suites need --metrics-address")
    if authenticates:
        raise typer.BadParameter("--metrics-authentication needs --metrics-address: tokens are not sent without TLS")
    return None
