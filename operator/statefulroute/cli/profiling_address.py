"""The option of profiles."""

import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from statefulroute.monitoring.bind_address import BindAddress

# The function imports what the extras install, so that the help of the commands works without it.


def parse_profiling_address(text: str | None) -> "BindAddress | None":
    """Returns the address of `--profiling-address`; None serves no profiles.

    Raises:
        BadParameter: other pods can reach the address, or this system cannot be profiled.
        ValueError: it is not HOST:PORT.
    """
    from statefulroute.monitoring.bind_address import BindAddress  # noqa: PLC0415

    if text is None:
        return None
    if sys.platform != "linux":
        raise typer.BadParameter("--profiling-address needs Linux, whose clocks measure each thread")
    address = BindAddress.parse(text)
    if not address.is_loopback:
        raise typer.BadParameter(
            f"--profiling-address {address} is no loopback address: clients are not authenticated. Use 127.0.0.1, "
            "[::1] or localhost, and kubectl port-forward"
        )
    return address
