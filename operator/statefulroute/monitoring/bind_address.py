"""Where the operator answers."""

from typing import NamedTuple, Self

_LAST_PORT = 65_535


class BindAddress(NamedTuple):
    """An address to listen at.

    Attributes:
        host: a name or an IP address; None is every address of the machine.
        port: 0 lets the system choose.
    """

    host: str | None
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read HOST:PORT; the brackets of an IPv6 address are needed.

        Raises:
            ValueError: it is none; the sentence says what one looks like.
        """
        host, colon, port = text.rpartition(":")
        is_bracketed = host.startswith("[") and host.endswith("]")
        if not colon or not (port.isascii() and port.isdigit()) or (":" in host and not is_bracketed):
            raise ValueError(f"{text!r} is not HOST:PORT; for example 0.0.0.0:8080, 127.0.0.1:8080 or [::]:8080")
        if int(port) > _LAST_PORT:
            raise ValueError(f"there is no port {port}: it must be from 0 to {_LAST_PORT}")
        return cls(host.removeprefix("[").removesuffix("]") or None, int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if self.host and ":" in self.host else self.host or ""
        return f"{host}:{self.port}"
