"""The address that a process listens on."""

from ipaddress import ip_address
from typing import NamedTuple, Self

_LAST_PORT = 65_535


class BindAddress(NamedTuple):
    """An address to listen on.

    Attributes:
        host: a host name or an IP address; None means all addresses of the machine, of IPv4 and IPv6.
        port: a port number; 0 lets the operating system choose one.
    """

    host: str | None
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses HOST:PORT; an IPv6 address needs brackets, and no host means all addresses.

        Raises:
            ValueError: the text is not HOST:PORT; the message has examples.
        """
        host, colon, port = text.rpartition(":")
        is_bracketed = host.startswith("[") and host.endswith("]")
        if not colon or not (port.isascii() and port.isdigit()) or (":" in host and not is_bracketed):
            raise ValueError(f"{text!r} is not HOST:PORT; for example :8080, 127.0.0.1:8080 or [::1]:8080")
        if int(port) > _LAST_PORT:
            raise ValueError(f"there is no port {port}: it must be from 0 to {_LAST_PORT}")
        return cls(host.removeprefix("[").removesuffix("]") or None, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only processes of the same machine or pod can reach it."""
        if self.host is None or self.host == "localhost":
            return self.host is not None
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if self.host and ":" in self.host else self.host or ""
        return f"{host}:{self.port}"
