"""Tests look-ups while the API server is killed or frozen."""

import asyncio
import signal
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from localcluster import LocalCluster
from resolver.in_process import Reply, RunningResolver, run_resolver
from resolver.stub_service import StubService, in_thread, uids
from support.independent_client import IndependentClient
from support.scale import IS_LONG

#: The minimal duration of the outage.
AWAY_SECONDS = 60.0 if IS_LONG else 3.0

#: The time limit of a failing binding: its deadline of two seconds, and a tolerance for slow machines.
REFUSAL_SECONDS = 10.0


@pytest.fixture
def stub_service(killable_cluster: LocalCluster, namespace: str) -> Iterator[StubService]:
    """A service with twenty users."""
    service = StubService(IndependentClient(killable_cluster.kubeconfig), namespace)
    service.create()
    for number, uid in enumerate(uids("user", 20)):
        service.link(uid, number % 3)
    yield service
    service.delete()


async def linked_users_are_answered(resolver: RunningResolver, stub_service: StubService, least_age: float) -> None:
    """Checks that each user is found by every kind of request, with the age of the response."""
    for number, uid in enumerate(uids("user", 20)):
        link = await resolver.http.get(f"{stub_service.path}/links/{uid}")
        gateway = await resolver.http.get(stub_service.ext_authz_path, headers={"x-user-id": uid})
        bound = await resolver.http.post(f"{stub_service.path}/links/{uid}")
        assert link.json["podIndex"] == bound.json["podIndex"] == number % 3
        assert gateway.headers["x-gateway-destination-endpoint"] == stub_service.endpoint(number % 3)
        for reply in (link, gateway, bound):
            assert int(reply.headers["Age"]) >= int(least_age)
    batch = await resolver.http.post(f"{stub_service.path}/links:batchGet", {"uids": uids("user", 20)})
    assert len(batch.json["links"]) == 20
    assert (await resolver.http.get(f"{stub_service.path}/links/nobody")).status == 404


async def requests_to_the_api_server_fail(resolver: RunningResolver, stub_service: StubService) -> None:
    """Checks that requests that need the API server fail in time."""
    async with asyncio.timeout(REFUSAL_SECONDS):
        replies = await asyncio.gather(
            resolver.http.post(f"{stub_service.path}/links/new"),
            resolver.http.get(f"{stub_service.path}/links/user-0?consistency=strong"),
            resolver.http.get(stub_service.ext_authz_path, headers={"x-user-id": "new"}),
        )
    for reply in replies:
        assert reply.problem[:2] == (503, "api-server-away")
        assert reply.headers["Retry-After"] == "1"


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_linked_users_are_answered_with_age_during_an_outage(
    killable_cluster: LocalCluster, stub_service: StubService, how: str
) -> None:
    async with run_resolver(killable_cluster.kubeconfig) as resolver:
        loop = asyncio.get_running_loop()
        await resolver.wait_for_reply(
            f"{stub_service.path}/links/user-19", lambda reply: reply.status == 200, "all are cached"
        )
        if how == "killed":
            await in_thread(killable_cluster.part("apiserver").kill)
        else:
            killable_cluster.guardian.signal("apiserver", signal.SIGSTOP)
        started_at = loop.time()
        try:
            await linked_users_are_answered(resolver, stub_service, 0)
            await requests_to_the_api_server_fail(resolver, stub_service)
            while (away := loop.time() - started_at) < AWAY_SECONDS:
                await linked_users_are_answered(resolver, stub_service, away)
                await asyncio.sleep(0.2)
            await linked_users_are_answered(resolver, stub_service, AWAY_SECONDS)
        finally:
            if how == "killed":
                await in_thread(killable_cluster.part("apiserver").restart)
            else:
                killable_cluster.guardian.signal("apiserver", signal.SIGCONT)
        await in_thread(killable_cluster.wait_ready)
        await in_thread(stub_service.move, "user-0", 2)
        await resolver.wait_for_reply(
            f"{stub_service.path}/links/user-0", lambda reply: reply.json["podIndex"] == 2, "the watches work again"
        )
        reply = await resolver.http.post(f"{stub_service.path}/links/later-{how}")
        assert reply.status == 200, reply.body


async def test_temporary_link_in_use_keeps_its_pod_in_an_outage_that_outlasts_its_ttl(
    killable_cluster: LocalCluster, stub_service: StubService
) -> None:
    await in_thread(stub_service.patch_route, links={"temporarySeconds": 15})
    await in_thread(stub_service.link, "guest", 2, ttlSeconds=15)
    path = f"{stub_service.path}/links/guest"
    async with run_resolver(killable_cluster.kubeconfig) as resolver:
        await resolver.wait_for_reply(path, lambda reply: reply.status == 200, "it is cached")
        await in_thread(killable_cluster.part("apiserver").kill)
        try:
            replies = []
            while not replies or expired_for(replies[-1]) < 2:
                replies.append(await resolver.http.post(path))
                assert replies[-1].status == 200, replies[-1].body
                await asyncio.sleep(0.2)
        finally:
            await in_thread(killable_cluster.part("apiserver").restart)
        await in_thread(killable_cluster.wait_ready)
        while expired_for(replies[-1]) > 0:  # until it is renewed
            replies.append(await resolver.http.post(path))
            assert replies[-1].status == 200, replies[-1].body
            await asyncio.sleep(0.2)
        assert {reply.json["podIndex"] for reply in replies} == {2}


def expired_for(reply: Reply) -> float:
    """Returns how many seconds ago the link of a reply expired."""
    return (datetime.now(UTC) - datetime.fromisoformat(reply.json["expireTime"])).total_seconds()
