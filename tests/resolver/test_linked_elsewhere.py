"""Tests that users whom another process has linked just now are served, though the cache does not have their links."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from localcluster import LocalCluster
from resolver.in_process import RunningResolver, run_resolver
from resolver.stub_service import StubService, in_thread, route_of, uids
from resolver.test_changes import DeafClient
from support.quotas import link_quota

SESSION = {"x-user-id": "session"}


@pytest_asyncio.fixture(params=[0.0, 60.0], ids=["at once", "held"])
async def deaf(
    cluster: LocalCluster, stub_service: StubService, request: pytest.FixtureRequest
) -> AsyncIterator[RunningResolver]:
    """A resolver that learns of no link that others create, and binds one new user in a hundred seconds."""
    options = {"namespaces": (stub_service.namespace,), "bindings_per_second": 0.01, "hold_seconds": request.param}
    async with run_resolver(cluster.kubeconfig, DeafClient, **options) as made:
        yield made


async def reached_pod(resolver: RunningResolver, service: StubService) -> str:
    """Returns the endpoint to which a gateway sends the user."""
    reply = await resolver.http.get(service.ext_authz_path, headers=SESSION)
    assert reply.status == 200, reply.body
    return reply.headers["x-gateway-destination-endpoint"]


async def test_user_is_served_while_no_pod_takes_new_users(deaf: RunningResolver, stub_service: StubService) -> None:
    for pod in stub_service.pods.values():
        pod["routingState"] = "DenyNewCall"
    await in_thread(stub_service.patch_route, routingState="DenyNewCall")
    await in_thread(stub_service.patch_route_status, routingState="DenyNewCall")
    await deaf.wait_for_reply(stub_service.path, lambda reply: reply.json["bestPod"] is None, "the status is known")
    await in_thread(stub_service.link, "session", 1)
    assert await reached_pod(deaf, stub_service) == stub_service.endpoint(1)


async def test_user_is_served_while_the_route_has_all_its_links(
    deaf: RunningResolver, stub_service: StubService
) -> None:
    await in_thread(stub_service.patch_route, links={"max": 1})
    key, cache = route_of(stub_service), deaf.components.cache
    await deaf.wait_until(lambda: cache.route(key).spec.links.max == 1, "the limit is known")
    assert (await deaf.http.post(f"{stub_service.path}/links/alice")).status == 200
    await in_thread(stub_service.unlink, "alice")  # the resolver still counts this link
    await in_thread(stub_service.link, "session", 1)
    assert await reached_pod(deaf, stub_service) == stub_service.endpoint(1)


async def test_user_is_served_while_the_quota_is_used_up(deaf: RunningResolver, stub_service: StubService) -> None:
    quota = link_quota(stub_service.independent_client, stub_service.namespace, links=1)
    await in_thread(quota.__enter__)
    try:
        await in_thread(stub_service.link, "session", 1)
        assert await reached_pod(deaf, stub_service) == stub_service.endpoint(1)
    finally:
        await in_thread(quota.__exit__, None, None, None)


@pytest.mark.parametrize("deaf", [0.0], indirect=True)
async def test_user_is_served_above_the_rate_of_new_users(deaf: RunningResolver, stub_service: StubService) -> None:
    assert (await deaf.http.post(f"{stub_service.path}/links/alice")).status == 200
    await in_thread(stub_service.link, "session", 1)
    assert await reached_pod(deaf, stub_service) == stub_service.endpoint(1)


@pytest.mark.parametrize("deaf", [0.0], indirect=True)
async def test_response_that_names_a_linked_user_is_accepted_above_the_rate(
    deaf: RunningResolver, stub_service: StubService
) -> None:
    assert (await deaf.http.post(f"{stub_service.path}/links/alice")).status == 200
    await in_thread(stub_service.link, "session", 1)
    assert await deaf.components.binder.bind_to(route_of(stub_service), "session", 1) == 1


@pytest.mark.parametrize("deaf", [0.0], indirect=True)
async def test_reads_for_refused_users_have_the_rate_of_new_users(
    deaf: RunningResolver, stub_service: StubService
) -> None:
    replies = [await deaf.http.post(f"{stub_service.path}/links/{uid}") for uid in uids("invented", 4)]
    assert [reply.status for reply in replies] == [200, 429, 429, 429]
    await in_thread(stub_service.link, "session", 1)  # the read for the second user was the only one
    assert (await deaf.http.get(stub_service.ext_authz_path, headers=SESSION)).problem[1] == "too-many-bindings"
