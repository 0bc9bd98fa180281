"""Tests that a client driver links no more users than a route or a namespace may have."""

import asyncio
from collections.abc import Iterator

import pytest

from driver.recording import RecordingClient
from statefulroute import ClientDriver, ErrorCode, LinkLimitReachedError
from support.independent_client import PodLink, StatefulRoute
from support.quotas import link_quota
from support.service import Service
from support.waiting import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def game(shared_service: Service) -> Iterator[Service]:
    """The service. After the test, it has no links and no limit."""
    yield shared_service
    shared_service.client.delete_all(PodLink, shared_service.namespace)
    limit_links(shared_service, None)


def limit_links(game: Service, limit: int | None) -> None:
    """Changes the limit of the route's links."""
    game.client.patch(StatefulRoute, "game", game.namespace, {"spec": {"links": {"max": limit}}})


async def test_links_no_more_users_than_the_route_may_have(client: RecordingClient, game: Service) -> None:
    await asyncio.to_thread(limit_links, game, 4)
    async with ClientDriver(client, game.namespace) as driver:
        limit = driver._services.routes.get  # noqa: SLF001 - no method returns the settings of a route
        await wait_until(lambda: (route := limit("game")) and route.spec.links.max == 4, "the limit is known")
        users = [f"user-{number}" for number in range(12)]
        results = await asyncio.gather(
            *(driver.compute_link_if_absent(user, "game") for user in users), return_exceptions=True
        )
        refused = [result for result in results if isinstance(result, LinkLimitReachedError)]
        assert len(refused) == 8
        assert {str(error) for error in refused} == {
            "StatefulRoute 'game' takes no new users: it has as many links as its spec.links.max allows (4)"
        }
        stored = await asyncio.to_thread(game.client.all, PodLink, game.namespace)
        assert len(stored) == 4
        linked = stored[0]["spec"]
        assert await driver.compute_link_if_absent(linked["uid"], "game") == linked["podIndex"]


async def test_a_quota_is_a_limit(client: RecordingClient, game: Service) -> None:
    async with ClientDriver(client, game.namespace) as driver:
        quota = link_quota(game.client, game.namespace, links=0)
        await asyncio.to_thread(quota.__enter__)
        try:
            with pytest.raises(LinkLimitReachedError, match="its ResourceQuota 'links' allows") as refused:
                await driver.link_if_absent("alice", "game", 0)
        finally:
            await asyncio.to_thread(quota.__exit__, None, None, None)
    assert refused.value.code is ErrorCode.LINK_LIMIT_REACHED
