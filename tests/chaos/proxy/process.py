"""The process of a fault proxy: TLS and HTTP/1.1 on loopback, between one client and the API server.

    python -m chaos.proxy.process SERVER AUTHORITY CLIENT_CERTIFICATE CERTIFICATE SEED

It reads commands from its standard input, a line each, and responds to each with a line; it exits when the input is
closed.
"""

import asyncio
import random
import ssl
import sys
from contextlib import suppress

import aiohttp
import msgspec
from aiohttp import web
from multidict import CIMultiDict

from chaos.proxy.connections import Connections
from chaos.proxy.modes import Mode, ProxyCommand, ProxyFault, ProxyReport
from chaos.proxy.responses import error_event, error_response, skewed_date
from chaos.proxy.upstream import Upstream, forwarded_headers

_READS = frozenset({"GET", "HEAD", "OPTIONS"})

#: The modes that interrupt watches, apart from those that hold them.
_ENDS_WATCHES = frozenset({Mode.DROP_WATCHES, Mode.EXPIRE, Mode.ERROR_EVENT})

#: The lifetime of a watch that is going to be cut.
_CUT_AFTER_SECONDS = 1.0

_MAX_BODY_BYTES = 2**24

#: Longer than any connection: only a fault closes one.
_KEEPALIVE_SECONDS = 86_400


class Relay:
    """Forwards requests, except those that a fault affects.

    Args:
        upstream: the API server.
        seed: the seed of the choice of affected requests.
    """

    def __init__(self, upstream: Upstream, seed: int) -> None:
        self._upstream = upstream
        self._random = random.Random(seed)
        self._fault = ProxyFault()
        self._token = ""
        """The only accepted token; empty accepts all."""
        self._watches: set[asyncio.Future[ProxyFault]] = set()
        self._hits = 0
        self._watches_flow = asyncio.Event()
        """Not set while the events of watches are held back."""
        self._watches_flow.set()
        server = web.Server(
            self._handle, handler_cancellation=True, keepalive_timeout=_KEEPALIVE_SECONDS, access_log=None
        )
        self.connections = Connections(server)

    async def apply(self, command: ProxyCommand) -> ProxyReport:
        """Carries out a command."""
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
        if fault.mode is Mode.HOLD_WATCHES:
            self._watches_flow.clear()
        else:
            self._watches_flow.set()
        if fault.mode in _ENDS_WATCHES:
            for watch in self._watches:
                if self._should_inject(fault):
                    watch.set_result(fault)

    def _should_inject(self, fault: ProxyFault) -> bool:
        """Decides whether the fault affects this request or connection."""
        is_hit = self._random.random() < fault.share
        self._hits += is_hit
        return is_hit

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._handle_or_fail(request)
        except aiohttp.ClientError:  # the API server did not respond, so the proxy does not either
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
        async with self._upstream.forward(request, body) as upstream_response:
            content = await upstream_response.read()
        await self._hold_while_silent()
        if fault.mode is Mode.ERROR_AFTER_WRITE and request.method not in _READS and self._should_inject(fault):
            return error_response(fault.code)
        headers = self._response_headers(upstream_response, fault)
        return web.Response(status=upstream_response.status, headers=headers, body=content)

    def _response_headers(self, response: aiohttp.ClientResponse, fault: ProxyFault) -> CIMultiDict[str]:
        """Returns the headers to forward, with another date if the fault skews it."""
        headers = forwarded_headers(response.headers)
        if fault.mode is Mode.SKEW_DATE and self._should_inject(fault):
            headers["Date"] = skewed_date(headers["Date"], fault.seconds)
        return headers

    async def _hold_while_silent(self) -> None:
        """Returns at once, except in half-open mode: then this connection waits until it is dropped."""
        if self._fault.mode is Mode.HALF_OPEN:
            await asyncio.Event().wait()

    async def _abort(self, request: web.BaseRequest) -> web.StreamResponse:
        """Cuts the connection without a response."""
        if request.transport is not None:
            request.transport.abort()
        raise asyncio.CancelledError

    async def _watch(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        """Forwards the events of a watch until it ends or a fault affects it."""
        loop = asyncio.get_running_loop()
        async with self._upstream.forward(request, body) as upstream_response:
            headers = self._response_headers(upstream_response, self._fault)
            response = web.StreamResponse(status=upstream_response.status, headers=headers)
            await response.prepare(request)
            fault_future: asyncio.Future[ProxyFault] = loop.create_future()
            self._watches.add(fault_future)
            if self._fault.mode in _ENDS_WATCHES and self._should_inject(self._fault):
                loop.call_later(
                    _CUT_AFTER_SECONDS, lambda fault: fault_future.done() or fault_future.set_result(fault), self._fault
                )
            forwarding = asyncio.create_task(self._pass_events(upstream_response, response))
            try:
                await asyncio.wait({forwarding, fault_future}, return_when=asyncio.FIRST_COMPLETED)
                if fault_future.done():
                    return await self._end_watch(request, response, fault_future.result())
                forwarding.result()
            finally:
                self._watches.discard(fault_future)
                forwarding.cancel()
                await asyncio.wait({forwarding})
        return response

    async def _pass_events(self, upstream_response: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        """Forwards whole lines, so that a fault is injected between events."""
        rest = b""
        async for data in upstream_response.content.iter_any():
            whole, newline, rest = (rest + data).rpartition(b"\n")
            await self._hold_while_silent()
            if not self._watches_flow.is_set():
                self._hits += 1
                await self._watches_flow.wait()
            if newline:
                await response.write(whole + newline)
        await response.write(rest)

    async def _end_watch(
        self, request: web.BaseRequest, response: web.StreamResponse, fault: ProxyFault
    ) -> web.StreamResponse:
        if fault.mode is Mode.ERROR_EVENT:
            await response.write(error_event(fault.code))
            return response
        await response.write(b'{"type":"MODIFIED","object":{"kind":')
        return await self._abort(request)


async def main(server: str, authority: str, client: str, certificate: str, seed: int) -> None:
    """Serves until the standard input is closed.

    Args:
        server: the API server's URL.
        authority: a file with the trusted certificates.
        client: a file with the client's key and certificate; empty if the client uses tokens.
        certificate: a file with the proxy's key and certificate.
        seed: the seed of the choice of affected requests.
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
