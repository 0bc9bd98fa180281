"""Tests that requests of users without a pod are held until they have one."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import grpc
import pytest
from prometheus_client import CollectorRegistry

from localcluster import LocalCluster
from resolver.envoy import Envoy, picked_endpoint, refusal, request_headers, run_envoy
from resolver.in_process import Reply, RunningResolver, run_resolver
from resolver.stub_service import StubService, in_thread, route_of, uids
from statefulroute.cluster.client import Client
from statefulroute.resolver.grpc.extauthz_pb2 import CheckRequest
from statefulroute.resolver.unlinked_uid import UnlinkedUidPolicy
from support.independent_client import StatefulRoute

HEADER = "x-gateway-destination-endpoint"
ALICE = {"x-user-id": "alice"}


class CountingClient(Client):
    """A client that counts the requests for links."""

    creations = reads = 0

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, attempts: int | None = None) -> bytes:
        self.reads += "/podlinks/" in path
        return await super().get(path, params, attempts=attempts)

    async def post(self, path: str, body: bytes) -> bytes:
        self.creations += path.endswith("/podlinks")
        return await super().post(path, body)


@asynccontextmanager
async def holding(
    cluster: LocalCluster, service: StubService, client_type: type[Client] = Client, **settings: Any
) -> AsyncIterator[RunningResolver]:
    """Runs a resolver that holds requests."""
    options = {"namespaces": (service.namespace,), "hold_seconds": 60.0, **settings}
    async with run_resolver(cluster.kubeconfig, client_type, **options) as resolver:
        yield resolver


@pytest.fixture
def full(stub_service: StubService) -> StubService:
    """A service whose three pods take no new users."""
    for pod in stub_service.pods.values():
        pod["routingState"] = "DenyNewCall"
    stub_service.patch_route_status()
    return stub_service


def held(resolver: RunningResolver) -> int:
    """Returns the number of held requests."""
    assert resolver.components.holder is not None
    return len(resolver.components.holder)


async def begin(resolver: RunningResolver, *requests: Any, number: int | None = None) -> "asyncio.Task[list[Reply]]":
    """Sends requests, and waits until they are held."""
    before = held(resolver)
    replies = asyncio.ensure_future(asyncio.gather(*requests))
    expected = before + (len(requests) if number is None else number)
    await resolver.wait_until(lambda: held(resolver) == expected or replies.done(), "the requests are held")
    assert not replies.done() or not requests or number == 0, replies.result()
    return replies


async def link_is_known(resolver: RunningResolver, service: StubService, uid: str = "alice") -> None:
    """Waits until the resolver knows the link of a user."""
    cache = resolver.components.cache
    await resolver.wait_until(lambda: cache.link(route_of(service), uid), f"the link of {uid} is known")


def metric(resolver: RunningResolver, name: str, **labels: str) -> float | None:
    """Returns a sample of the resolver's metrics."""
    registry = CollectorRegistry()
    for collector in resolver.components.metrics.collectors:
        registry.register(collector)
    return registry.get_sample_value(f"statefulroute_resolver_{name}", labels)


async def test_requests_of_one_user_share_one_link_and_are_answered_when_it_is_bound(
    cluster: LocalCluster, full: StubService
) -> None:
    async with holding(cluster, full, CountingClient) as resolver:
        path = f"{full.path}/links/alice"
        checks = [resolver.http.get(full.ext_authz_path, headers=ALICE) for _ in range(60)]
        replies = await begin(resolver, *checks, *(resolver.http.post(path) for _ in range(20)))
        await link_is_known(resolver, full)
        looked_up = await begin(resolver, resolver.http.get(path))  # a look-up creates no link, but waits for its pod
        batch = await resolver.http.post(f"{full.path}/links:batchGet", {"uids": ["alice", "bob"]})
        assert {problem["type"].rpartition(":")[2] for problem in batch.json["problems"].values()} == {
            "waits-for-pod",
            "not-linked",
        }
        assert (await resolver.http.get(f"{full.path}/links/bob")).status == 404
        assert metric(resolver, "held_requests") == 81
        spec = await in_thread(full.spec_of, "alice")
        assert (spec.pop("renewTime", None) is not None, spec) == (
            True,
            {"routeName": "game", "uid": "alice", "ttlSeconds": 300},
        )
        await in_thread(full.move, "alice", 1)
        answers = await replies + await looked_up
        assert {answer.status for answer in answers} == {200}
        assert {answer.headers[HEADER] for answer in answers[:60]} == {full.endpoint(1)}
        assert {answer.json["address"] for answer in answers[60:]} == {full.endpoint(1)}
        assert isinstance(resolver.client, CountingClient)
        assert (resolver.client.creations, resolver.client.reads) == (1, 0)
        assert (held(resolver), metric(resolver, "held_seconds_count", outcome="answered")) == (0, 81)
        assert metric(resolver, "links_total", outcome="requested") == 1
        assert metric(resolver, "answer_duration_seconds_count", operation="authorize") is None  # held ones are apart


async def test_request_is_held_until_the_pod_of_its_link_serves(cluster: LocalCluster, full: StubService) -> None:
    async with holding(cluster, full) as resolver:
        await in_thread(full.patch_pod_status, 1, ready=False)
        replies = await begin(resolver, resolver.http.get(full.ext_authz_path, headers=ALICE))
        await link_is_known(resolver, full)
        await in_thread(full.move, "alice", 1)
        cache, key = resolver.components.cache, route_of(full)
        await resolver.wait_until(lambda: (link := cache.link(key, "alice")) and link.pod == 1, "the link is bound")
        assert held(resolver) == 1
        await in_thread(full.patch_pod_status, 1)
        (answer,) = await replies
        assert answer.headers[HEADER] == full.endpoint(1)

        # The status of the route does not list the pod yet.
        replies = await begin(resolver, resolver.http.get(full.ext_authz_path, headers={"x-user-id": "bob"}))
        await link_is_known(resolver, full, "bob")
        await in_thread(full.move, "bob", 3)
        await resolver.wait_until(lambda: (link := cache.link(key, "bob")) and link.pod == 3, "the link is bound")
        assert held(resolver) == 1
        await in_thread(full.create_pod, 3)
        await in_thread(full.patch_route_status)
        (answer,) = await replies
        assert answer.headers[HEADER] == full.endpoint(3)


async def test_time_ends_with_503_and_the_link_stays(cluster: LocalCluster, full: StubService) -> None:
    async with holding(cluster, full, hold_seconds=0.5) as resolver:
        reply = await resolver.http.get(full.ext_authz_path, headers=ALICE)
        assert reply.problem == (503, "held-too-long", "'alice' was held for 0.5 s: its link waits for a pod")
        assert (reply.headers["Retry-After"], held(resolver)) == ("1", 0)
        stored = await in_thread(full.get, "alice")
        # Each further request waits for the same link.
        assert (await resolver.http.post(f"{full.path}/links/alice")).problem[1] == "held-too-long"
        assert (await resolver.http.get(f"{full.path}/links/alice")).problem[1] == "held-too-long"
        assert await in_thread(full.get, "alice") == stored
        assert metric(resolver, "held_seconds_count", outcome="over") == 3


async def test_no_more_requests_are_held_than_allowed(cluster: LocalCluster, full: StubService) -> None:
    async with holding(cluster, full, max_held=3) as resolver:
        requests = [resolver.http.get(full.ext_authz_path, headers={"x-user-id": uid}) for uid in uids("user", 3)]
        replies = await begin(resolver, *requests)
        reply = await resolver.http.get(full.ext_authz_path, headers=ALICE)
        assert reply.problem == (
            503,
            "too-many-held",
            "3 requests are held until their uids have pods: try again later",
        )
        assert reply.headers["Retry-After"] == "5"
        assert metric(resolver, "hold_refusals_total") == 1
        for uid in uids("user", 3):
            await link_is_known(resolver, full, uid)
            await in_thread(full.move, uid, 0)
        assert [reply.status for reply in await replies] == [200] * 3


async def test_request_leaves_when_its_client_disconnects(cluster: LocalCluster, full: StubService) -> None:
    async with holding(cluster, full, bindings_per_second=1) as resolver, aiohttp.ClientSession() as session:
        replies = await begin(resolver, resolver.http.get(full.ext_authz_path, headers=ALICE))
        await link_is_known(resolver, full)  # it has used the only token
        url = resolver.http.base + full.ext_authz_path

        async def check(uid: str) -> None:
            await session.get(url, headers={"x-user-id": uid})

        gone = await begin(resolver, *(check(uid) for uid in ("bob", "alice")))
        gone.cancel()
        await resolver.wait_until(lambda: held(resolver) == 1, "only alice's first request is held")
        assert metric(resolver, "held_seconds_count", outcome="disconnected") == 2
        assert metric(resolver, "answers_total", operation="authorize", code="499") == 2
        await in_thread(full.move, "alice", 2)
        assert [reply.status for reply in await replies] == [200]
        assert (await in_thread(full.stored_pods)).keys() == {"alice"}  # no link for a user who does not wait any more


async def test_new_users_above_the_rate_wait_for_their_turn(cluster: LocalCluster, stub_service: StubService) -> None:
    async with holding(cluster, stub_service, bindings_per_second=10) as resolver:
        requests = [
            resolver.http.get(stub_service.ext_authz_path, headers={"x-user-id": uid}) for uid in uids("user", 25)
        ]
        assert [reply.status for reply in await asyncio.gather(*requests)] == [200] * 25
        assert len(await in_thread(stub_service.stored_pods)) == 25
        assert metric(resolver, "links_total", outcome="bound") == 25
        assert metric(resolver, "links_total", outcome="refused") == 0
        assert metric(resolver, "held_seconds_count", outcome="answered")  # at least those above the burst


async def test_link_that_is_deleted_is_created_again_for_those_who_wait(
    cluster: LocalCluster, full: StubService
) -> None:
    async with holding(cluster, full) as resolver:
        replies = await begin(resolver, resolver.http.get(full.ext_authz_path, headers=ALICE))
        await link_is_known(resolver, full)
        looked_up = await begin(resolver, resolver.http.get(f"{full.path}/links/alice"))
        first = (await in_thread(full.get, "alice"))["metadata"]["uid"]
        await in_thread(full.unlink, "alice")
        assert [reply.problem[1] for reply in await looked_up] == ["not-linked"]
        await resolver.wait_until(lambda: metric(resolver, "links_total", outcome="requested") == 2, "it is created")
        await link_is_known(resolver, full)
        assert (await in_thread(full.get, "alice"))["metadata"]["uid"] != first
        await in_thread(full.move, "alice", 0)
        assert [reply.status for reply in await replies] == [200]


async def test_held_requests_fail_when_their_route_is_deleted_or_the_resolver_stops(
    cluster: LocalCluster, full: StubService
) -> None:
    async with holding(cluster, full) as resolver:
        replies = await begin(resolver, resolver.http.get(full.ext_authz_path, headers=ALICE))
        await in_thread(full.independent_client.delete, StatefulRoute, "game", full.namespace)
        assert [reply.problem[:2] for reply in await replies] == [(404, "route-not-found")]
        await in_thread(full.delete)
        full.pods.clear()
        await in_thread(full.create, 0)
        await resolver.wait_for_reply(full.path, lambda reply: reply.status == 200, "the route is known")
        replies = await begin(resolver, resolver.http.get(full.ext_authz_path, headers=ALICE))
        assert resolver.components.holder is not None
        resolver.components.holder.end()
        assert [reply.problem for reply in await replies] == [
            (503, "held-too-long", "this resolver stops: try again, at another one")
        ]
        assert (await resolver.http.get(full.ext_authz_path, headers=ALICE)).problem[1] == "held-too-long"


async def test_limit_of_links_refuses_a_new_user_at_once(cluster: LocalCluster, full: StubService) -> None:
    await in_thread(full.patch_route, links={"max": 1})
    async with holding(cluster, full) as resolver:
        replies = await begin(resolver, resolver.http.get(full.ext_authz_path, headers=ALICE))
        await link_is_known(resolver, full)
        reply = await resolver.http.get(full.ext_authz_path, headers={"x-user-id": "bob"})
        assert (reply.problem[:2], reply.headers["Retry-After"]) == ((429, "link-limit-reached"), "30")
        await in_thread(full.move, "alice", 0)
        assert [reply.status for reply in await replies] == [200]


async def test_service_that_denies_new_users_on_purpose_is_not_waited_for(
    cluster: LocalCluster, full: StubService
) -> None:
    await in_thread(full.patch_route, routingState="Shutdown")
    await in_thread(full.link, "alice", None)
    async with holding(cluster, full) as resolver:
        await link_is_known(resolver, full)
        for uid in ("alice", "bob"):
            reply = await resolver.http.get(full.ext_authz_path, headers={"x-user-id": uid})
            assert reply.problem[1] == "no-available-pod"
        assert (await resolver.http.get(f"{full.path}/links/alice")).problem[1] == "waits-for-pod"
        assert (await in_thread(full.stored_pods)) == {"alice": None}


async def test_link_that_waits_is_renewed_by_its_use(cluster: LocalCluster, full: StubService) -> None:
    old = (datetime.now(UTC) - timedelta(seconds=200)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    await in_thread(full.link, "alice", None, ttlSeconds=300, renewTime=old)
    async with holding(cluster, full) as resolver:
        replies = await begin(resolver, resolver.http.get(f"{full.path}/links/alice"))
        assert (await in_thread(full.spec_of, "alice"))["renewTime"] == old  # a look-up does not renew
        checks = await begin(resolver, resolver.http.get(full.ext_authz_path, headers=ALICE))
        await resolver.wait_until(lambda: metric(resolver, "links_total", outcome="renewed") == 1, "it is renewed")
        await in_thread(full.move, "alice", 1)
        assert [reply.status for reply in await replies + await checks] == [200, 200]


@pytest.mark.parametrize("policy", [UnlinkedUidPolicy.ANY, UnlinkedUidPolicy.REFUSE])
async def test_only_links_that_exist_are_waited_for_unless_the_policy_binds(
    cluster: LocalCluster, full: StubService, policy: UnlinkedUidPolicy
) -> None:
    await in_thread(full.link, "alice", None)
    async with holding(cluster, full, unlinked_uid=policy) as resolver:
        assert (await resolver.http.get(full.ext_authz_path, headers={"x-user-id": "bob"})).status in {404, 503}
        replies = await begin(resolver, resolver.http.get(full.ext_authz_path, headers=ALICE))
        await in_thread(full.move, "alice", 2)
        assert [reply.headers[HEADER] for reply in await replies] == [full.endpoint(2)]


async def test_requests_over_grpc_are_held_until_their_callers_end_them(
    cluster: LocalCluster, full: StubService
) -> None:
    async with run_envoy(cluster.kubeconfig, route_of(full), namespaces=(full.namespace,), hold_seconds=60.0) as envoy:
        resolver, check = envoy.resolver, CheckRequest()
        check.attributes.request.http.headers["x-user-id"] = "alice"
        replies = await begin(
            resolver,
            envoy.pick([("x-user-id", "alice")]),
            envoy.pick([("x-user-id", "alice")], [full.endpoint(0)]),
            envoy.check(check),
        )
        await link_is_known(resolver, full)
        gone = await begin(resolver, envoy.check(check), ended_stream(envoy))
        gone.cancel()
        await resolver.wait_until(lambda: held(resolver) == 3, "those that were ended are not held")
        await in_thread(full.move, "alice", 1)
        picked, elsewhere, checked = await replies
        assert picked_endpoint(picked) == full.endpoint(1)
        # The gateway offered only pod 0 when it asked: it asks again for the next request.
        assert refusal(elsewhere)[:2] == (503, "pod_not_routable")
        (endpoint,) = [each.header.value for each in checked.ok_response.headers if each.header.key == HEADER]
        assert endpoint == full.endpoint(1)


async def ended_stream(envoy: Envoy) -> None:
    """Sends the headers of a request by ext_proc, until it is cancelled."""
    try:
        await envoy.call(request_headers([("x-user-id", "alice")]))
    except grpc.aio.AioRpcError as error:
        raise asyncio.CancelledError from error
