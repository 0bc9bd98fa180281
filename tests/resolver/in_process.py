"""Runs a resolver in the process of a test, with an HTTP client for it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import uvloop
from multidict import CIMultiDictProxy
from yarl import URL

from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.monitoring.tls import reloading_tls_context
from statefulroute.resolver.assembly import ResolverComponents, assemble
from statefulroute.resolver.process import serve_lookups
from statefulroute.resolver.settings import Settings
from statefulroute.resolver.uid_sources import UidSource
from support.clients import closing_connections
from support.waiting import wait_until

TIMEOUT_SECONDS = 60.0
_POLL_SECONDS = 0.02

ANY_PORT = BindAddress("127.0.0.1", 0)


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response.

    Attributes:
        status: the HTTP status.
        headers: the headers.
        body: the body.
    """

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The decoded body."""
        return dict(json.loads(self.body))

    @property
    def problem(self) -> tuple[int, str, str]:
        """The status, the end of the problem's type, and its detail."""
        assert self.headers["Content-Type"].partition(";")[0] == "application/problem+json", self.body
        problem = self.json
        assert problem["status"] == self.status
        assert problem.keys() == {"type", "title", "status", "detail"}
        return self.status, problem["type"].rpartition(":")[2], problem["detail"]


class HTTPClient:
    """An HTTP client of one resolver.

    Args:
        base: the URL of the resolver.
        session: sends the requests.
        headers: the headers of each request.
    """

    def __init__(self, base: str, session: aiohttp.ClientSession, headers: Mapping[str, str] | None = None) -> None:
        self.base = base
        self.session = session
        self._headers = dict(headers or {})

    async def request(self, method: str, path: str, **options: Any) -> Reply:
        """Sends a request; the path is already encoded."""
        headers = {**self._headers, **options.pop("headers", {})}
        url = URL(self.base + path, encoded=True)
        async with self.session.request(method, url, headers=headers, allow_redirects=False, **options) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.request("GET", path, **options)

    async def delete(self, path: str, **options: Any) -> Reply:
        return await self.request("DELETE", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> Reply:
        return await self.request("POST", path, json=body, **options)


@dataclass(frozen=True, slots=True)
class RunningResolver:
    """A running resolver.

    Attributes:
        components: its components.
        http: an HTTP client of the resolver.
        client: its client of the API server.
    """

    components: ResolverComponents
    http: HTTPClient
    client: Client

    async def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Waits until a condition on the resolver's cache is true.

        Raises:
            TimeoutError: the condition was not true in time.
        """
        await wait_until(condition, what, seconds=TIMEOUT_SECONDS)

    async def wait_for_reply(self, path: str, condition: Callable[[Reply], object], what: str, **options: Any) -> Reply:
        """Sends GET requests until a condition on the reply is true; returns the reply.

        Raises:
            TimeoutError: the condition was not true in time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + TIMEOUT_SECONDS
        while not condition(reply := await self.http.get(path, **options)):
            if loop.time() > deadline:
                raise TimeoutError(f"after {TIMEOUT_SECONDS:g} s still not: {what}; it is {reply}")
            await asyncio.sleep(_POLL_SECONDS)
        return reply


@asynccontextmanager
async def run_resolver(
    kubeconfig: Path, client_type: type[Client] = Client, **settings: Any
) -> AsyncIterator[RunningResolver]:
    """Runs a resolver while the context lasts."""
    defaults = {"http_address": ANY_PORT, "uid_sources": (UidSource.parse("header:x-user-id"),)}
    resolver_settings = Settings(**{**defaults, **settings})
    scheme = "http" if resolver_settings.tls is None else "https"
    async with (
        closing_connections(),
        reloading_tls_context(resolver_settings.tls, 0.05) as tls,
        connect(kubeconfig) as connection,
        client_type(connection, 48) as client,
    ):
        components = assemble(resolver_settings, client)
        async with components.cache.run():
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await components.cache.wait_synced()
            async with (
                serve_lookups(resolver_settings, components, tls) as addresses,
                aiohttp.ClientSession() as session,
            ):
                yield RunningResolver(components, HTTPClient(f"{scheme}://{addresses[0]}", session), client)
            await components.binder.aclose()


def quote_uid(uid: str) -> str:
    """Percent-encodes a uid for a path."""
    return quote(uid, safe="")


@contextmanager
def run_resolver_in_thread(kubeconfig: Path, **settings: Any) -> Iterator[str]:
    """Runs a resolver in a thread with the event loop of the process, for tests that block; yields its URL."""
    urls: Future[str] = Future()

    async def serve() -> None:
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        ends.append(lambda: loop.call_soon_threadsafe(end.set))
        async with run_resolver(kubeconfig, **settings) as resolver:
            urls.set_result(resolver.http.base)
            await end.wait()

    ends: list[Callable[[], object]] = []
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(uvloop.run, serve())
        work.add_done_callback(lambda done: urls.done() or urls.set_exception(done.exception() or RuntimeError()))
        try:
            yield urls.result(TIMEOUT_SECONDS)
        finally:
            for end in ends:
                end()
            work.result(TIMEOUT_SECONDS)
