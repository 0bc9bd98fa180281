"""The versions and cipher suites of TLS that a server accepts, by the names that Kubernetes' own servers use."""

from dataclasses import dataclass
from enum import StrEnum


class TlsVersion(StrEnum):
    """A version of TLS."""

    TLS_1_2 = "VersionTLS12"
    TLS_1_3 = "VersionTLS13"


class CipherSuite(StrEnum):
    """A cipher suite of TLS 1.2 with forward secrecy, by its name at IANA."""

    ECDHE_ECDSA_AES_128 = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    ECDHE_ECDSA_AES_256 = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    ECDHE_ECDSA_CHACHA20 = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
    ECDHE_RSA_AES_128 = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
    ECDHE_RSA_AES_256 = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
    ECDHE_RSA_CHACHA20 = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"

    @property
    def openssl_name(self) -> str:
        """Its name in OpenSSL and BoringSSL, such as `ECDHE-RSA-AES128-GCM-SHA256`."""
        key_exchange, _, cipher = self.value.removeprefix("TLS_").partition("_WITH_")
        cipher = cipher.replace("AES_", "AES").replace("POLY1305_SHA256", "POLY1305")
        return f"{key_exchange}_{cipher}".replace("_", "-")


#: A cipher suite that no client can negotiate, because the server has no pre-shared key.
_NO_CIPHER_SUITE = "ECDHE-PSK-AES128-CBC-SHA"


@dataclass(frozen=True, slots=True)
class TlsProtocol:
    """What clients of a server may negotiate.

    Attributes:
        min_version: the lowest version of TLS.
        cipher_suites: the cipher suites of TLS 1.2; none are the defaults of the library. Those of TLS 1.3 are fixed.
    """

    min_version: TlsVersion = TlsVersion.TLS_1_2
    cipher_suites: tuple[CipherSuite, ...] = ()

    @property
    def openssl_ciphers(self) -> str | None:
        """The cipher suites as OpenSSL lists them; None keeps the defaults."""
        return ":".join(each.openssl_name for each in self.cipher_suites) or None

    @property
    def grpc_ciphers(self) -> str | None:
        """The cipher suites for gRPC's environment variable; None keeps the defaults.

        gRPC accepts TLS 1.2, and has no option for it. Without a cipher suite for it, each such handshake fails.
        """
        return self.openssl_ciphers if self.min_version is TlsVersion.TLS_1_2 else _NO_CIPHER_SUITE


#: TLS 1.2 and later, with the libraries' cipher suites.
DEFAULT_PROTOCOL = TlsProtocol()


def parse_cipher_suites(names: str | None, option: str) -> tuple[CipherSuite, ...]:
    """Parses names of cipher suites that are separated by commas.

    Args:
        names: the names; None has none.
        option: the option that has them, for the message.

    Raises:
        ValueError: a name is unknown.
    """
    return () if names is None else tuple(_parse_cipher_suite(name.strip(), option) for name in names.split(","))


def _parse_cipher_suite(name: str, option: str) -> CipherSuite:
    try:
        return CipherSuite(name)
    except ValueError as error:
        raise ValueError(f"{option} has {name!r}: write one or more of {', '.join(CipherSuite)}") from error
