"""How connections to the resolver are made secure, by the certificates of the moment."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from statefulroute.resolver.settings import TlsFiles

log = structlog.get_logger(__name__)

#: How often it is looked whether there are new certificates: they are renewed long before the old ones end.
_POLL_SECONDS = 30.0

#: What tells one state of the files from another.
ModificationTimes = tuple[int, ...]


class UnusableCertificateError(Exception):
    """A certificate, a key or an authority cannot be read; the sentence says which."""


def modification_times(files: TlsFiles) -> ModificationTimes:
    """When the files were written.

    Raises:
        OSError: one is not there.
    """
    named = (files.certificate, files.key, *([] if files.client_ca is None else [files.client_ca]))
    return tuple(file.stat().st_mtime_ns for file in named)


def load_tls_context(files: TlsFiles) -> ssl.SSLContext:
    """What makes connections secure.

    Args:
        files: certificate and key, and whose callers are let in.

    Raises:
        UnusableCertificateError: they cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        _load(context, files)
    except OSError as error:  # what is no certificate is one, too
        raise UnusableCertificateError(
            f"connections cannot be made secure ({error}): --tls-certificate, --tls-key and --client-ca must name "
            "files in PEM"
        ) from error
    return context


@asynccontextmanager
async def reloading_tls_context(
    files: TlsFiles | None, poll_seconds: float = _POLL_SECONDS
) -> AsyncIterator[ssl.SSLContext | None]:
    """What makes new connections secure while the context lasts, also after the files have changed.

    Args:
        files: as for `secure`; None leaves connections plain.
        poll_seconds: how often it is looked whether they have.

    Raises:
        UnusableCertificateError: they cannot be used.
    """
    if files is None:
        yield None
        return
    context = load_tls_context(files)
    looking = asyncio.create_task(_reload(context, files, poll_seconds))
    try:
        yield context
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


async def _reload(context: ssl.SSLContext, files: TlsFiles, poll_seconds: float) -> None:
    known = modification_times(files)
    while True:
        await asyncio.sleep(poll_seconds)
        try:
            if (stamp := modification_times(files)) == known:
                continue
            load_tls_context(files)  # of files that are being written, half would be taken
            _load(context, files)
        except (OSError, UnusableCertificateError) as error:
            log.warning("new certificates cannot be used: the old ones are kept", error=str(error))
        else:
            known = stamp
            log.info("new certificates are in use", certificate=str(files.certificate))


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    context.load_cert_chain(files.certificate, files.key)
    if files.client_ca is not None:
        context.load_verify_locations(files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
