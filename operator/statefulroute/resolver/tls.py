"""How connections to the resolver are made secure, by the certificates of the moment."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from statefulroute.resolver.settings import Tls

log = structlog.get_logger(__name__)

#: How often it is looked whether there are new certificates: they are renewed long before the old ones end.
_LOOK_SECONDS = 30.0

#: What tells one state of the files from another.
Stamp = tuple[int, ...]


class UnusableCertificateError(Exception):
    """A certificate, a key or an authority cannot be read; the sentence says which."""


def stamp_of(files: Tls) -> Stamp:
    """When the files were written.

    Raises:
        OSError: one is not there.
    """
    named = (files.certificate, files.key, *([] if files.client_ca is None else [files.client_ca]))
    return tuple(file.stat().st_mtime_ns for file in named)


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
        _load(context, files)
    except OSError as error:  # what is no certificate is one, too
        raise UnusableCertificateError(
            f"connections cannot be made secure ({error}): --tls-certificate, --tls-key and --client-ca must name "
            "files in PEM"
        ) from error
    return context


@asynccontextmanager
async def secured(files: Tls | None, look_seconds: float = _LOOK_SECONDS) -> AsyncIterator[ssl.SSLContext | None]:
    """What makes new connections secure while the context lasts, also after the files have changed.

    Args:
        files: as for `secure`; None leaves connections plain.
        look_seconds: how often it is looked whether they have.

    Raises:
        UnusableCertificateError: they cannot be used.
    """
    if files is None:
        yield None
        return
    context = secure(files)
    looking = asyncio.create_task(_renew(context, files, look_seconds))
    try:
        yield context
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


async def _renew(context: ssl.SSLContext, files: Tls, look_seconds: float) -> None:
    known = stamp_of(files)
    while True:
        await asyncio.sleep(look_seconds)
        try:
            if (stamp := stamp_of(files)) == known:
                continue
            secure(files)  # of files that are being written, half would be taken
            _load(context, files)
        except (OSError, UnusableCertificateError) as error:
            log.warning("new certificates cannot be used: the old ones are kept", error=str(error))
        else:
            known = stamp
            log.info("new certificates are in use", certificate=str(files.certificate))


def _load(context: ssl.SSLContext, files: Tls) -> None:
    context.load_cert_chain(files.certificate, files.key)
    if files.client_ca is not None:
        context.load_verify_locations(files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
