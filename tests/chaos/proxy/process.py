"""A fault proxy's process: TLS and HTTP/1.1 on loopback, between one client and the API server.

    python -m chaos.proxy.process SERVER AUTHORITY CLIENT_CERTIFICATE CERTIFICATE SEED

It takes orders from its standard input, a line each, and answers each with a line; it ends when that input does.
"""

import asyncio
import random
import ssl
import sys
from contextlib import suppress

import aiohttp
import msgspec
from aiohttp import web

from chaos.proxy.connections import Connections
from chaos.proxy.modes import Mode, ProxyCommand, ProxyFault, ProxyReport
from chaos.proxy.responses import error_response, expired_event
from chaos.proxy.upstream import Upstream, forwarded_headers

_READS = frozenset({"GET", "HEAD", "OPTIONS"})

#: What happens to a watch in the middle, beside those that are held.
_ENDS_WATCHES = frozenset({Mode.DROP_WATCHES, Mode.EXPIRE, Mode.EXPIRE_AS_EVENT})

#: How long a watch lives that is to be cut.
_CUT_AFTER_SECONDS = 1.0

_MAX_BODY_BYTES = 2**24

#: Longer than any connection lives: only a fault ends it.
_KEEPALIVE_SECONDS = 86_400


class Relay:
    """Passes requests on, but for those that meet a fault.

    Args:
        upstream: the API server.
        seed: of the choice of who meets one.
    """

    def __init__(self, upstream: Upstream, seed: int) -> None:
        self._upstream = upstream
        self._random = random.Random(seed)
        self._fault = ProxyFault()
        self._token = ""
        """The only one that is let in; empty lets all in."""
        self._watches: set[asyncio.Future[ProxyFault]] = set()
        self._hits = 0
        server = web.Server(
            self._handle, handler_cancellation=True, keepalive_timeout=_KEEPALIVE_SECONDS, access_log=None
        )
        self.connections = Connections(server)

    async def apply(self, command: ProxyCommand) -> ProxyReport:
        """Do what was ordered."""
        if command.certificate is not None:
            self.connections.serve_with(command.certificate)
            await self.connections.cut()
        if command.token is not None:
            self._token = command.token
        if command.fault is not None:
            await self._set_fault(command.fault)
        return ProxyReport(self.connections.port, self._hits)

    async def _set_fault(self, fault: ProxyFault) -> None:
        before, self._fault = self._fault, fault
        self.connections.is_silent = fault.mode is Mode.HALF_OPEN
        if before.mode is Mode.HALF_OPEN:
            forgotten = await self.connections.forget()
            self._hits += forgotten
        if fault.mode is Mode.REFUSE:
            await self.connections.refuse()
            cut = await self.connections.cut()
            self._hits += cut
        else:
            self.connections.listen()
        if fault.mode in _ENDS_WATCHES:
            for watch in self._watches:
                if self._should_inject(fault):
                    watch.set_result(fault)

    def _should_inject(self, fault: ProxyFault) -> bool:
        """Whether this time the fault is shown."""
        is_met = self._random.random() < fault.share
        self._hits += is_met
        return is_met

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._handle_or_fail(request)
        except aiohttp.ClientError:  # the API server has not answered: neither do we
            return await self._abort(request)

    async def _handle_or_fail(self, request: web.BaseRequest) -> web.StreamResponse:
        body, fault = await request.read(), self._fault
        await self._hold_while_silent()
        if self._token and request.headers.get("Authorization") != f"Bearer {self._token}":
            return error_response(401)
        is_watch = request.query.get("watch") in {"true", "1"}
        match fault.mode:
            case Mode.SLOW if self._should_inject(fault):
                await asyncio.sleep(fault.seconds)
            case Mode.ERROR if self._should_inject(fault):
                return error_response(fault.code, fault.seconds)
            case Mode.EXPIRE if (is_watch or "continue" in request.query) and self._should_inject(fault):
                return error_response(410)
        if is_watch:
            return await self._watch(request, body)
        async with self._upstream.forward(request, body) as answer:
            content = await answer.read()
        await self._hold_while_silent()
        if fault.mode is Mode.ERROR_AFTER_WRITE and request.method not in _READS and self._should_inject(fault):
            return error_response(fault.code)
        return web.Response(status=answer.status, headers=forwarded_headers(answer.headers), body=content)

    async def _hold_while_silent(self) -> None:
        """Go on, unless nothing is answered any more: then this connection gets no answer until it is forgotten."""
        if self._fault.mode is Mode.HALF_OPEN:
            await asyncio.Event().wait()

    async def _abort(self, request: web.BaseRequest) -> web.StreamResponse:
        """Cut the connection instead of answering."""
        if request.transport is not None:
            request.transport.abort()
        raise asyncio.CancelledError

    async def _watch(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        """Pass on the events of a watch as they come, until it ends or meets a fault."""
        loop = asyncio.get_running_loop()
        async with self._upstream.forward(request, body) as answer:
            response = web.StreamResponse(status=answer.status, headers=forwarded_headers(answer.headers))
            await response.prepare(request)
            ending: asyncio.Future[ProxyFault] = loop.create_future()
            self._watches.add(ending)
            if self._fault.mode in _ENDS_WATCHES and self._should_inject(self._fault):
                loop.call_later(
                    _CUT_AFTER_SECONDS, lambda fault: ending.done() or ending.set_result(fault), self._fault
                )
            passing = asyncio.create_task(self._pass_events(answer, response))
            try:
                await asyncio.wait({passing, ending}, return_when=asyncio.FIRST_COMPLETED)
                if ending.done():
                    return await self._end_watch(request, response, ending.result())
                passing.result()
            finally:
                self._watches.discard(ending)
                passing.cancel()
                await asyncio.wait({passing})
        return response

    async def _pass_events(self, answer: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        """Pass whole lines on: what a fault adds comes between two events."""
        rest = b""
        async for data in answer.content.iter_any():
            whole, newline, rest = (rest + data).rpartition(b"\n")
            await self._hold_while_silent()
            if newline:
                await response.write(whole + newline)
        await response.write(rest)

    async def _end_watch(
        self, request: web.BaseRequest, response: web.StreamResponse, fault: ProxyFault
    ) -> web.StreamResponse:
        if fault.mode is Mode.EXPIRE_AS_EVENT:
            await response.write(expired_event())
            return response
        await response.write(b'{"type":"MODIFIED","object":{"kind":')
        return await self._abort(request)


async def main(server: str, authority: str, client: str, certificate: str, seed: int) -> None:
    """Serve until there are no orders any more.

    Args:
        server: the API server's URL.
        authority: a file with the certificates that it is trusted by.
        client: a file with a client's key and certificate; empty where the client shows tokens.
        certificate: a file with the proxy's own key and certificate.
        seed: of the choice of requests that meet a fault.
    """
    tls = ssl.create_default_context(cafile=authority)
    if client:
        tls.load_cert_chain(client)
    upstream = Upstream(server, tls)
    relay = Relay(upstream, seed)
    order = ProxyCommand(ProxyFault(), certificate)
    while True:
        report = await relay.apply(order)
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        sys.stdout.flush()
        line = await asyncio.to_thread(sys.stdin.buffer.readline)
        if not line:
            break
        order = msgspec.json.decode(line, type=ProxyCommand)
    await relay.connections.refuse()
    await relay.connections.cut()
    await upstream.close()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:5], int(sys.argv[5])))
