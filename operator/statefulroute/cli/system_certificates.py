"""Imports aiohttp without the CA certificates of the system."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_system_certificates() -> Iterator[None]:
    """Lets TLS contexts that are created in the context trust no certificates by default.

    When aiohttp is imported, it reads the CA certificates of the system twice, into the TLS contexts of sessions that
    have none: most of the time that its import takes. Each session of a command has the TLS context of the kubeconfig.
    One without would refuse every server.
    """

    def trust_none(_: ssl.SSLContext, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
        del purpose

    load_default_certs = ssl.SSLContext.load_default_certs  # reads the certificate stores of Windows, too
    ssl.SSLContext.load_default_certs = trust_none  # type: ignore[assignment, method-assign]
    ssl.SSLContext.set_default_verify_paths = trust_none  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        ssl.SSLContext.load_default_certs = load_default_certs  # type: ignore[method-assign]
        del ssl.SSLContext.set_default_verify_paths  # the method of the base class is in effect again
