"""Loads the TLS certificates of a server, and reloads them when their files change."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from statefulroute.monitoring.listener import RenewableTlsContext
from statefulroute.monitoring.settings import ServerTls
from statefulroute.monitoring.tls_protocol import TlsVersion

log = structlog.get_logger(__name__)

#: The interval between checks for new certificates, which are renewed long before the old ones expire.
RELOAD_SECONDS = 30.0

#: The modification times of the files, in nanoseconds.
ModificationTimes = tuple[int, ...]

_MIN_VERSIONS = {TlsVersion.TLS_1_2: ssl.TLSVersion.TLSv1_2, TlsVersion.TLS_1_3: ssl.TLSVersion.TLSv1_3}


class UnusableCertificateError(Exception):
    """The certificate, key or CA file is invalid; the message says why."""


def modification_times(files: ServerTls) -> ModificationTimes:
    """Returns the modification times of the files.

    Raises:
        OSError: a file does not exist.
    """
    return tuple(path.stat().st_mtime_ns for path in files.paths)


def load_tls_context(files: ServerTls) -> ssl.SSLContext:
    """Loads a server-side TLS context.

    Args:
        files: the TLS files.

    Raises:
        UnusableCertificateError: a file cannot be read, or is invalid.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = _MIN_VERSIONS[files.protocol.min_version]
    if (ciphers := files.protocol.openssl_ciphers) is not None:
        context.set_ciphers(ciphers)
    try:
        _load(context, files)
    except OSError as error:  # an ssl.SSLError of an invalid file is an OSError
        raise UnusableCertificateError(
            f"the TLS files cannot be loaded ({error}): {', '.join(map(str, files.paths))} must be files in PEM"
        ) from error
    return context


@asynccontextmanager
async def reloading_tls_context(
    files: ServerTls | None, poll_seconds: float = RELOAD_SECONDS
) -> AsyncIterator[RenewableTlsContext | None]:
    """Yields a TLS context, and replaces it when its files change.

    Args:
        files: the TLS files; None yields None.
        poll_seconds: the interval between checks of the files.

    Raises:
        UnusableCertificateError: a file cannot be read, or is invalid.
    """
    if files is None:
        yield None
        return
    known, first = _load_first(files)
    context = RenewableTlsContext(first)
    reloading = asyncio.create_task(_reload(context, files, known, poll_seconds))
    try:
        yield context
    finally:
        reloading.cancel()
        with suppress(asyncio.CancelledError):
            await reloading


def _load_first(files: ServerTls) -> tuple[ModificationTimes, ssl.SSLContext]:
    """Returns the context, and the times of the files before it was loaded: a later change is a new certificate."""
    try:
        known = modification_times(files)
    except OSError:
        known = ()  # loading says what is missing
    return known, load_tls_context(files)


async def _reload(
    context: RenewableTlsContext, files: ServerTls, known: ModificationTimes, poll_seconds: float
) -> None:
    while True:
        await asyncio.sleep(poll_seconds)
        try:
            if (stamp := modification_times(files)) == known:
                continue
            context.replace(load_tls_context(files))
        except (OSError, UnusableCertificateError) as error:
            log.warning("new certificates cannot be used: the old ones are kept", error=str(error))
        else:
            known = stamp
            log.info("new certificates are in use", certificate=str(files.certificate))


def _load(context: ssl.SSLContext, files: ServerTls) -> None:
    context.load_cert_chain(files.certificate, files.key)
    if files.client_ca is not None:
        context.load_verify_locations(files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
