"""A sidecar of a cluster in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import yarl
from aiohttp import ClientSession

from driver.recording import RecordingLogger
from statefulroute import HandOverConfiguration, ServerDriver
from statefulroute.driver.lifetime import cancel
from statefulroute.driver.parts import Configuration
from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.sidecar.assembly import SidecarComponents, assemble
from statefulroute.sidecar.process import serve_api
from statefulroute.sidecar.settings import Settings
from statefulroute.sidecar.user_follower import follow_users
from statefulroute.testing import InMemoryCluster

ANY_PORT = BindAddress("127.0.0.1", 0)


@dataclass(frozen=True, slots=True)
class RunningSidecar:
    """A sidecar of a pod of the service `game`.

    Attributes:
        cluster: its cluster.
        components: its components.
        host: HOST:PORT of its API.
        http: a client.
    """

    cluster: InMemoryCluster
    components: SidecarComponents
    host: str
    http: ClientSession

    @property
    def driver(self) -> ServerDriver:
        """Its driver."""
        return self.components.driver

    @property
    def url(self) -> str:
        """The URL of its API."""
        return f"http://{self.host}"

    def raw_url(self, path: str) -> yarl.URL:
        """Returns the URL of a path whose encoding stays as it is."""
        return yarl.URL(f"{self.url}{path}", encoded=True)

    async def get(self, path: str, **options: Any) -> tuple[int, Any]:
        """Returns status and body of a GET."""
        return await self.request("GET", path, **options)

    async def request(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Returns status and body of a request; the body is JSON, or empty."""
        async with self.http.request(method, f"{self.url}{path}", **options) as response:
            return response.status, (await response.json(content_type=None)) if await response.read() else None


#: Runs a sidecar with some settings.
RunSidecar = Callable[..., AbstractAsyncContextManager[RunningSidecar]]


@pytest.fixture
def run_sidecar() -> RunSidecar:
    """Runs sidecars."""

    @asynccontextmanager
    async def run(
        *,
        cluster: InMemoryCluster | None = None,
        pod: int = 0,
        hand_over: HandOverConfiguration | None = None,
        **settings: Any,
    ) -> AsyncIterator[RunningSidecar]:
        if cluster is None:
            cluster = InMemoryCluster("play")
            cluster.add_service("game", pods=3, port=7777, hand_over_seconds=3600)
        configuration = Configuration(drain_seconds=0, hand_over=hand_over)
        driver = cluster.server_driver(
            "game", pod, configuration=configuration, follow_users=True, logger=RecordingLogger()
        )
        made = Settings(http_address=ANY_PORT, configuration=configuration, **settings)
        components = assemble(made, driver, cluster.namespace)
        following = asyncio.create_task(follow_users(driver, (), components.log))
        async with serve_api(made, components) as addresses, ClientSession() as http:
            await driver.start()
            try:
                yield RunningSidecar(cluster, components, addresses[0], http)
            finally:
                await cancel(following)
                components.log.end()
                await driver.close()

    return run
