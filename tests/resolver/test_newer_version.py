"""A resolver meets a route and links of a newer version: each value counts by itself."""

from collections.abc import Iterator

import pytest

from localcluster import LocalCluster
from resolver.in_process import run_resolver
from resolver.stub_service import PORT, StubService
from support.independent_client import PodLink
from support.kubectl import Kubectl
from support.newer_definitions import NEWER, NEWER_FIELD, newer_definitions
from support.objects import condition


@pytest.fixture
def newer_service(installed: Kubectl, stub_service: StubService) -> Iterator[StubService]:
    """A service with three pods, and the definitions of a newer version."""
    with newer_definitions(installed):
        yield stub_service
        stub_service.delete()


async def test_resolver_finds_the_pods_of_a_route_with_values_of_a_newer_version(
    cluster: LocalCluster, newer_service: StubService
) -> None:
    service, client = newer_service, newer_service.independent_client
    service.patch_route(routingState=NEWER, onPodLost={"action": NEWER}, load={"source": NEWER}, **{NEWER_FIELD: "x"})
    service.pods[0] |= {"serviceState": NEWER, NEWER_FIELD: "x"}
    service.pods[1] |= {"routingState": NEWER}
    service.patch_route_status(routingState=NEWER, workloadState=NEWER, conditions=[condition(type=NEWER)])
    for pod in range(3):
        service.link(f"user-{pod}", pod)
        status = {"phase": NEWER, "podIndex": pod, "podName": f"game-{pod}", "host": f"game-{pod}.game"}
        status |= {"conditions": [condition(reason=NEWER)]}
        client.patch_status(PodLink, service.link_name(f"user-{pod}"), service.namespace, status)
    async with run_resolver(cluster.kubeconfig, namespaces=(service.namespace,)) as resolver:
        for pod in range(3):
            reply = await resolver.http.get(f"{service.path}/links/user-{pod}")
            assert reply.status == 200, reply.body
            expected = (f"10.9.0.{pod + 1}:{PORT}", f"game-{pod}.game")
            assert (reply.json["address"], reply.json["host"]) == expected
            picked = await resolver.http.get(service.ext_authz_path, headers={"x-user-id": f"user-{pod}"})
            assert picked.headers["x-gateway-destination-endpoint"] == service.endpoint(pod)
        bound = await resolver.http.post(f"{service.path}/links/new")
        assert (bound.status, bound.json["podIndex"]) == (200, 2)  # the only pod that is known to take new users
