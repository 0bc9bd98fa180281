"""Listeners use a replaced TLS context."""

import asyncio
import os
import ssl
from pathlib import Path

import pytest
from aiohttp import web

from localcluster.certificates import Authority
from statefulroute.monitoring import listener as listener_module
from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.monitoring.listener import RenewableTlsContext, listen


def server_context(authority: Authority, folder: Path) -> ssl.SSLContext:
    pair = authority.server(("127.0.0.1",))
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context


async def is_trusted(address: BindAddress, authority: Authority) -> bool:
    """Returns whether a new connection gets a certificate of an authority."""
    context = ssl.create_default_context(cadata=authority.certificate.decode())
    try:
        _, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    except ssl.SSLError:
        return False
    writer.close()
    return True


async def respond(_: web.BaseRequest) -> web.Response:
    return web.Response()


async def test_replacement_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "_RETRY_SECONDS", 0.01)
    failures, duplicate = [OSError(24, "Too many open files")] * 2, os.dup

    def fail_at_first(file: int) -> int:
        if failures:
            raise failures.pop()
        return duplicate(file)

    monkeypatch.setattr(os, "dup", fail_at_first)
    old, new = Authority(), Authority()
    tls = RenewableTlsContext(server_context(old, tmp_path))
    async with listen(web.Server(respond), BindAddress("127.0.0.1", 0), tls) as (address,):
        assert await is_trusted(address, old)
        tls.replace(server_context(new, tmp_path))
        async with asyncio.timeout(10):
            while not await is_trusted(address, new):  # noqa: ASYNC110 - the replacement has no event
                await asyncio.sleep(0.01)
        assert not await is_trusted(address, old)
    assert not failures
