"""A resolver in the process of a test, and somebody who asks it."""

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
from multidict import CIMultiDictProxy
from yarl import URL

from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.monitoring.address import Address
from statefulroute.resolver.assembly import Parts, assemble
from statefulroute.resolver.process import answering
from statefulroute.resolver.settings import Settings
from statefulroute.resolver.tls import secured
from statefulroute.resolver.uids import UidSource

PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.02

#: A TLS connection that is left in the middle of an answer is closed a moment later, while its loop still runs.
_CLOSING_SECONDS = 0.25

ANYWHERE = Address("127.0.0.1", 0)


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered.

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
        """The body as a value."""
        return dict(json.loads(self.body))

    @property
    def problem(self) -> tuple[int, str, str]:
        """The status, the end of the problem's type, and its sentence."""
        assert self.headers["Content-Type"].partition(";")[0] == "application/problem+json", self.body
        said = self.json
        assert said["status"] == self.status
        assert said.keys() == {"type", "title", "status", "detail"}
        return self.status, said["type"].rpartition(":")[2], said["detail"]


class Asker:
    """Asks one resolver.

    Args:
        base: its URL.
        session: how it is asked.
        headers: what each request says.
    """

    def __init__(self, base: str, session: aiohttp.ClientSession, headers: Mapping[str, str] | None = None) -> None:
        self.base = base
        self.session = session
        self._headers = dict(headers or {})

    async def ask(self, method: str, path: str, **options: Any) -> Reply:
        """Send a request; the path is sent as it is."""
        headers = {**self._headers, **options.pop("headers", {})}
        url = URL(self.base + path, encoded=True)
        async with self.session.request(method, url, headers=headers, allow_redirects=False, **options) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> Reply:
        return await self.ask("POST", path, json=body, **options)


@dataclass(frozen=True, slots=True)
class Running:
    """A resolver that answers.

    Attributes:
        parts: what it is made of.
        asker: who asks it.
        client: how it reaches the API server.
    """

    parts: Parts
    asker: Asker
    client: Client

    async def knows(self, holds: Callable[[], object], what: str) -> None:
        """Wait until its copy is so.

        Raises:
            TimeoutError: it was not in time.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_SECONDS
        while not holds():
            if loop.time() > end:
                raise TimeoutError(f"after {PATIENCE_SECONDS:g} s still not: {what}")
            await asyncio.sleep(_PAUSE_SECONDS)

    async def answers(self, path: str, holds: Callable[[Reply], object], what: str, **options: Any) -> Reply:
        """Ask until the answer is so; gives it.

        Raises:
            TimeoutError: it was not in time.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_SECONDS
        while not holds(reply := await self.asker.get(path, **options)):
            if loop.time() > end:
                raise TimeoutError(f"after {PATIENCE_SECONDS:g} s still not: {what}; it is {reply}")
            await asyncio.sleep(_PAUSE_SECONDS)
        return reply


@asynccontextmanager
async def running(kubeconfig: Path, client_type: type[Client] = Client, **settings: Any) -> AsyncIterator[Running]:
    """A resolver that answers as long as the context lasts."""
    known = {"http_address": ANYWHERE, "uid_sources": (UidSource.parse("header:x-user-id"),)}
    made = Settings(**{**known, **settings})
    scheme = "http" if made.tls is None else "https"
    async with secured(made.tls, 0.05) as tls, connect(kubeconfig) as connection:
        async with client_type(connection, 48) as client:
            parts = assemble(made, client)
            async with parts.directory.running():
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await parts.directory.wait_synced()
                async with (
                    answering(made, parts, tls) as addresses,
                    aiohttp.ClientSession() as session,
                ):
                    yield Running(parts, Asker(f"{scheme}://{addresses[0]}", session), client)
                await parts.binder.aclose()
        await asyncio.sleep(_CLOSING_SECONDS)


def as_path(uid: str) -> str:
    """A uid as it stands in a path."""
    return quote(uid, safe="")


@contextmanager
def in_own_thread(kubeconfig: Path, **settings: Any) -> Iterator[str]:
    """The URL of a resolver that answers while whoever asks waits."""
    urls: Future[str] = Future()

    async def answer() -> None:
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        ends.append(lambda: loop.call_soon_threadsafe(end.set))
        async with running(kubeconfig, **settings) as made:
            urls.set_result(made.asker.base)
            await end.wait()

    ends: list[Callable[[], object]] = []
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(asyncio.run, answer())
        work.add_done_callback(lambda done: urls.done() or urls.set_exception(done.exception() or RuntimeError()))
        try:
            yield urls.result(PATIENCE_SECONDS)
        finally:
            for end in ends:
                end()
            work.result(PATIENCE_SECONDS)
