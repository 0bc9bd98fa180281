"""Tests the binding of new users: once, to the best pod, at a limited rate."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from localcluster import LocalCluster
from resolver.in_process import Reply, RunningResolver, run_resolver
from resolver.stub_service import StubService, in_thread, uids
from statefulroute.cluster.client import Client


async def test_new_user_is_bound_to_the_best_pod_and_cached_at_once(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    stub_service.pods[0]["links"] = stub_service.pods[2]["links"] = 5
    await in_thread(stub_service.patch_route_status)
    await resolver.wait_for_reply(
        stub_service.path, lambda reply: reply.json["bestPod"] == "game-1", "the status is known"
    )
    reply = await resolver.http.post(f"{stub_service.path}/links/alice")
    assert (reply.status, reply.json["podName"], reply.headers["Age"]) == (200, "game-1", "0")
    assert (await resolver.http.get(f"{stub_service.path}/links/alice")).json == reply.json
    spec = await in_thread(stub_service.spec_of, "alice")
    assert spec.pop("renewTime")
    assert spec == {"routeName": "game", "uid": "alice", "podIndex": 1, "ttlSeconds": 300}


class SlowClient(Client):
    """A client whose reads of links take long; it counts those in progress."""

    reads = most_reads = 0

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, attempts: int | None = None) -> bytes:
        if "/podlinks/" not in path:
            return await super().get(path, params, attempts=attempts)
        self.reads += 1
        self.most_reads = max(self.most_reads, self.reads)
        try:
            await asyncio.sleep(0.05)
            return await super().get(path, params, attempts=attempts)
        finally:
            self.reads -= 1


async def test_strong_batches_leave_connections_for_bindings(cluster: LocalCluster, stub_service: StubService) -> None:
    async with run_resolver(cluster.kubeconfig, SlowClient, namespaces=(stub_service.namespace,)) as resolver:
        path, body = f"{stub_service.path}/links:batchGet?consistency=strong", {"uids": uids("user", 60)}
        batches = asyncio.gather(*(resolver.http.post(path, body) for _ in range(4)))
        await resolver.wait_until(lambda: resolver.client.reads, "links are being read")  # type: ignore[attr-defined]
        assert (await resolver.http.post(f"{stub_service.path}/links/alice")).status == 200
        assert not batches.done()
        assert {(reply.status, len(reply.json["problems"])) for reply in await batches} == {(200, 60)}
        assert isinstance(resolver.client, SlowClient)
        assert resolver.client.most_reads <= 16  # of 32 connections


async def test_binding_is_idempotent(resolver: RunningResolver, stub_service: StubService) -> None:
    first = await resolver.http.post(f"{stub_service.path}/links/alice")
    stub_service.pods[first.json["podIndex"]]["links"] = 99  # another pod would now be chosen
    await in_thread(stub_service.patch_route_status)
    await resolver.wait_for_reply(stub_service.path, lambda reply: "99" in str(reply.json), "the status is known")
    for path in (f"{stub_service.path}/links/alice", f"{stub_service.path}/links/alice?consistency=strong"):
        assert (await resolver.http.post(path, {"ttlSeconds": 60})).json == first.json
    assert await in_thread(stub_service.stored_pods) == {"alice": first.json["podIndex"]}


async def test_binds_with_the_requested_ttl(resolver: RunningResolver, stub_service: StubService) -> None:
    before = datetime.now(UTC)
    reply = await resolver.http.post(f"{stub_service.path}/links/alice", {"ttlSeconds": 600})
    expiry = datetime.fromisoformat(reply.json["expireTime"])
    assert timedelta(seconds=598) < expiry - before < timedelta(seconds=660)
    assert (await resolver.http.post(f"{stub_service.path}/links/bob", {"ttlSeconds": None})).json["expireTime"]


@pytest.mark.parametrize("ttl", [0, -1, 2**31, "5", 1.5])
async def test_rejects_invalid_ttl(resolver: RunningResolver, stub_service: StubService, ttl: object) -> None:
    reply = await resolver.http.post(f"{stub_service.path}/links/alice", {"ttlSeconds": ttl})
    assert reply.problem[:2] == (400, "malformed")
    assert "ttlSeconds" in reply.problem[2]


async def test_links_are_persistent_if_asked_for(cluster: LocalCluster, stub_service: StubService) -> None:
    namespaces = (stub_service.namespace,)
    async with run_resolver(cluster.kubeconfig, namespaces=namespaces, temporary_links=False) as resolver:
        assert (await resolver.http.post(f"{stub_service.path}/links/alice")).json["expireTime"] is None
        assert "ttlSeconds" not in await in_thread(stub_service.spec_of, "alice")


async def test_binds_a_user_whose_link_waits_for_a_pod(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", None)
    await resolver.wait_for_reply(
        f"{stub_service.path}/links/alice", lambda reply: reply.status == 503, "alice is known"
    )
    reply = await resolver.http.post(f"{stub_service.path}/links/alice")
    assert (reply.status, await in_thread(stub_service.stored_pods)) == (200, {"alice": reply.json["podIndex"]})


async def test_spreads_new_users_before_the_operator_has_counted_them(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    replies = await asyncio.gather(*(resolver.http.post(f"{stub_service.path}/links/{uid}") for uid in uids("u", 30)))
    assert Counter(reply.json["podIndex"] for reply in replies) == {0: 10, 1: 10, 2: 10}


async def test_binds_no_user_to_an_unavailable_pod(resolver: RunningResolver, stub_service: StubService) -> None:
    stub_service.pods[0]["routingState"] = "DenyNewCall"
    stub_service.pods[1]["serviceState"] = "NotReady"
    await in_thread(stub_service.patch_route_status)
    await resolver.wait_for_reply(stub_service.path, lambda reply: "NotReady" in str(reply.json), "the status is known")
    for uid in uids("u", 4):
        assert (await resolver.http.post(f"{stub_service.path}/links/{uid}")).json["podIndex"] == 2
    # The resolver knows the state of the pod before the operator updates the route's status.
    await in_thread(stub_service.patch_pod_status, 2, ready=False)
    await resolver.wait_for_reply(
        f"{stub_service.path}/links/u-0", lambda reply: reply.status == 503, "the pod is not ready"
    )
    reply = await resolver.http.post(f"{stub_service.path}/links/late")
    assert reply.problem == (503, "no-available-pod", "no pod of the service 'game' takes new users now")
    assert reply.headers["Retry-After"] == "1"
    assert "late" not in await in_thread(stub_service.stored_pods)


async def test_two_resolvers_bind_a_new_user_once(cluster: LocalCluster, stub_service: StubService) -> None:
    settings = {"namespaces": (stub_service.namespace,), "bindings_per_second": 1000}
    async with (
        run_resolver(cluster.kubeconfig, **settings) as one,
        run_resolver(cluster.kubeconfig, **settings) as other,
    ):
        # They choose differently: one has bound a user that the operator has not counted yet.
        assert (await one.http.post(f"{stub_service.path}/links/before")).json["podIndex"] == 0
        new = uids("u", 40)

        async def first(uid: str) -> set[int]:
            requests = (each.http.post(f"{stub_service.path}/links/{uid}") for each in (one, other) for _ in range(3))
            replies: list[Reply] = await asyncio.gather(*requests)
            assert {reply.status for reply in replies} == {200}, [reply.body for reply in replies]
            return {reply.json["podIndex"] for reply in replies}

        answers = dict(zip(new, await asyncio.gather(*map(first, new)), strict=True))
    stored = {**await in_thread(stub_service.stored_pods)}
    assert stored.pop("before") == 0
    assert answers == {uid: {pod} for uid, pod in stored.items()}


async def test_limits_the_rate_of_new_users(cluster: LocalCluster, stub_service: StubService) -> None:
    async with run_resolver(
        cluster.kubeconfig, namespaces=(stub_service.namespace,), bindings_per_second=5
    ) as resolver:
        await resolver.http.post(f"{stub_service.path}/links/alice")
        replies = await asyncio.gather(
            *(resolver.http.post(f"{stub_service.path}/links/{uid}") for uid in uids("u", 60))
        )
        refused = [reply for reply in replies if reply.status != 200]
        assert {reply.problem for reply in refused} == {
            (
                429,
                "too-many-bindings",
                "too many new uids in StatefulRoute 'game': try again later",
            )
        }
        assert all(int(reply.headers["Retry-After"]) >= 1 for reply in refused)
        stored = await in_thread(stub_service.stored_pods)
        assert len(stored) == 61 - len(refused)
        assert len(refused) > 30
        assert (
            await resolver.http.post(f"{stub_service.path}/links/alice")
        ).status == 200  # linked users are not limited


async def test_renews_a_temporary_link_in_use(resolver: RunningResolver, stub_service: StubService) -> None:
    renewed = datetime.now(UTC) - timedelta(seconds=400)
    await in_thread(stub_service.link, "alice", 0, ttlSeconds=600, renewTime=renewed.isoformat())
    path = f"{stub_service.path}/links/alice"
    reply = await resolver.wait_for_reply(path, lambda reply: reply.status == 200, "alice is known")
    before = reply.json["expireTime"]
    assert (await resolver.http.post(path)).status == 200
    reply = await resolver.wait_for_reply(path, lambda reply: reply.json["expireTime"] != before, "the link is renewed")
    assert datetime.fromisoformat(reply.json["expireTime"]) > datetime.now(UTC) + timedelta(seconds=500)
    stored = await in_thread(stub_service.get, "alice")
    assert "managedFields" not in stored["metadata"]
    assert (await resolver.http.post(path)).status == 200  # more than half of the TTL is left
    await resolver.components.binder.aclose()
    assert await in_thread(stub_service.get, "alice") == stored
