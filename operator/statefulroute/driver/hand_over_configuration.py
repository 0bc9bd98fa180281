"""The configuration of the transfer of states between the drivers of two pods."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from statefulroute.domain.errors import InvalidParameterError

#: Where the manifest in the documentation mounts the two tokens.
TOKENS_DIRECTORY = Path("/var/run/secrets/statefulroute.io/hand-over")

_MAX_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSFiles:
    """The files for TLS between pods, in PEM. They may be replaced at any time.

    Each pod proves by its certificate that it belongs to the authority, as the server and as the client.

    Attributes:
        certificate: the certificate of the pod, with intermediate ones; for both usages, server and client.
        key: its private key.
        ca: the certificates of the authorities of the other pods.
        server_name: the DNS name that the certificate of the other pod must have; None accepts every certificate of
            the authority: then it should issue none to others.
    """

    certificate: Path
    key: Path
    ca: Path
    server_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOverConfiguration:
    """The configuration of the transfer of states. All pods of a service must have the same port.

    Attributes:
        port: the port that the driver listens on for states, and to which it sends them at other pods.
        listen_host: the address that it listens on; empty listens on all.
        max_state_bytes: the maximal size of the state of a user, sent or received.
        max_concurrent: how many users, and how many slots, are handed over, and how many users are taken, at a time.
        tokens: the directory with the files `send` and `receive`, the pod's tokens for the two audiences.
        tls: the files for TLS; None sends states unencrypted.
    """

    port: int = 8477
    listen_host: str = ""
    max_state_bytes: int = 4 * 2**20
    max_concurrent: int = 64
    tokens: Path = TOKENS_DIRECTORY
    tls: TLSFiles | None = None


def check_hand_over(configuration: HandOverConfiguration | None, *, is_following: bool) -> None:
    """Checks the configuration of a driver.

    Args:
        configuration: the configuration; None transfers nothing.
        is_following: whether the driver follows its users.

    Raises:
        InvalidParameterError: a value is invalid, or the driver does not follow its users.
        ImportError: the libraries for the transfer are not installed.
    """
    if configuration is None:
        return
    if not is_following:
        raise InvalidParameterError("hand_over", "needs follow_users")
    if not 0 < configuration.port <= _MAX_PORT:
        raise InvalidParameterError("hand_over.port", f"must be from 1 to {_MAX_PORT}")
    for name in ("max_state_bytes", "max_concurrent"):
        if not getattr(configuration, name) >= 1:
            raise InvalidParameterError(f"hand_over.{name}", "must be at least 1")
    if find_spec("jwt") is None or find_spec("cryptography") is None:
        raise ImportError(
            "Configuration(hand_over=...) needs PyJWT and cryptography, which are not installed: "
            "pip install 'statefulroute[hand-over]'"
        )
