"""How connections to the resolver are made secure."""

import ssl

from statefulroute.resolver.settings import Tls


class UnusableCertificateError(Exception):
    """A certificate, a key or an authority cannot be read; the sentence says which."""


def secure(files: Tls) -> ssl.SSLContext:
    """What makes connections secure.

    Args:
        files: certificate and key, and whose callers are let in.

    Raises:
        UnusableCertificateError: they cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.certificate, files.key)
        if files.client_ca is not None:
            context.load_verify_locations(files.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # what is no certificate is one, too
        raise UnusableCertificateError(
            f"connections cannot be made secure ({error}): --tls-certificate, --tls-key and --client-ca must name "
            "files in PEM"
        ) from error
    return context
