"""TLS contexts that trust the CA certificates of the system, for API servers whose kubeconfig names none."""

import ssl


def system_context() -> ssl.SSLContext:
    """Returns a TLS context for clients that trusts what the system trusts.

    OpenSSL looks for certificates where those of the machine were that it was built on. The plugin contains its own
    OpenSSL, and runs on other machines; on Windows and macOS, the system verifies the certificates.
    """
    from truststore import SSLContext  # noqa: PLC0415 - most kubeconfigs name a CA, and do not need it

    return SSLContext(ssl.PROTOCOL_TLS_CLIENT)
