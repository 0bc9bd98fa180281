"""The resolver finds pods that the status of a route does not list."""

from typing import Any

import pytest

from resolver.in_process import RunningResolver
from resolver.stub_service import StubService, in_thread

OMITTED = {"count": 600, "ready": 600, "routable": 600, "available": 600, "links": 9}


@pytest.fixture
def big_service(stub_service: StubService) -> StubService:
    """A service with more pods than its status lists: pods 1 and 2 are not listed."""
    stub_service.link("alice", 2)
    stub_service.patch_route_status(pods=[stub_service.pods[0]], links=7, omittedPods=OMITTED)
    return stub_service


async def wait_for_big_service(resolver: RunningResolver, service: StubService) -> dict[str, Any]:
    reply = await resolver.wait_for_reply(service.path, lambda reply: reply.json["links"] == 7, "the status is known")
    return reply.json


async def test_user_of_an_unlisted_pod_is_found(resolver: RunningResolver, big_service: StubService) -> None:
    route = await wait_for_big_service(resolver, big_service)
    assert (len(route["pods"]), route["omittedPods"], route["isReady"]) == (1, 600, True)
    path = f"{big_service.path}/links/alice"
    reply = await resolver.wait_for_reply(path, lambda reply: reply.status == 200, "the pod is known")
    assert (reply.json["podName"], reply.json["address"]) == ("game-2", big_service.endpoint(2))


async def test_state_of_an_unlisted_pod_is_its_own(resolver: RunningResolver, big_service: StubService) -> None:
    await wait_for_big_service(resolver, big_service)
    path = f"{big_service.path}/links/alice"
    await in_thread(big_service.patch_route, pods=[{"index": 2, "routingState": "Shutdown"}])
    await resolver.wait_for_reply(path, lambda reply: reply.status != 200, "the pod is shut down")
    await in_thread(big_service.patch_route, pods=[])
    await resolver.wait_for_reply(path, lambda reply: reply.status == 200, "the pod serves its users")
    await in_thread(big_service.patch_pod_status, 2, ready=False)
    await resolver.wait_for_reply(path, lambda reply: reply.status != 200, "the pod is not ready")
    await in_thread(big_service.patch_pod_status, 2)
    await resolver.wait_for_reply(path, lambda reply: reply.status == 200, "the pod is ready")


async def test_new_user_is_bound_to_a_listed_pod(resolver: RunningResolver, big_service: StubService) -> None:
    await wait_for_big_service(resolver, big_service)
    reply = await resolver.http.request("POST", f"{big_service.path}/links/bob")
    assert reply.json["podIndex"] == 0
