"""Tests the resolver with a real operator, while pods are drained, shut down, not ready or removed."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from localcluster import LocalCluster
from resolver.in_process import RunningResolver, run_resolver
from statefulroute.domain.keys import RouteKey
from support.independent_client import IndependentClient, PodLink, StatefulRoute
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.operator_process import OperatorProcess
from support.service import DENY_NEW_CALLS, NO_ROUTING_STATE, NOT_READY, READY, SHUT_DOWN, Service
from support.waiting import eventually

HEADER = "x-gateway-destination-endpoint"


@pytest.fixture(scope="module")
def operator(
    cluster: LocalCluster, installed: Kubectl, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """A running operator."""
    del installed
    if not cluster.has_controllers:
        pytest.skip("this cluster has no controllers and nodes: a StatefulSet gets no pods here")
    process = OperatorProcess(cluster.kubeconfig, tmp_path_factory.mktemp("operator") / "log")
    yield process.start()
    process.stop()
    assert process.errors() == []


@pytest.fixture(scope="module")
def shared_service(
    operator: OperatorProcess, installed: Kubectl, independent_client: IndependentClient
) -> Iterator[Service]:
    """A service with three pods."""
    del operator
    with fresh_namespace(installed) as name:
        service = Service(installed.within(name), independent_client)
        service.start(port=7777, onPodLost={"action": "Rebind", "graceSeconds": 1})
        yield service
        independent_client.delete_all(PodLink, name)
        independent_client.delete(StatefulRoute, service.name, name)
        eventually(lambda: not independent_client.all(StatefulRoute, name), "the route is gone")


@pytest.fixture
def game(shared_service: Service) -> Iterator[Service]:
    """The service; its links are deleted after each test."""
    yield shared_service
    shared_service.client.delete_all(PodLink, shared_service.namespace)
    for pod in range(3):
        shared_service.annotate(pod, NO_ROUTING_STATE | READY)
    shared_service.await_status(routablePods=3, links=0)


@pytest_asyncio.fixture
async def resolver(cluster: LocalCluster, game: Service) -> AsyncIterator[RunningResolver]:
    """A resolver of the namespace."""
    async with run_resolver(cluster.kubeconfig, namespaces=(game.namespace,)) as resolver:
        yield resolver


def path_of(game: Service, uid: str) -> str:
    return f"/v1/namespaces/{game.namespace}/routes/game/links/{uid}"


async def bound(resolver: RunningResolver, game: Service, uid: str) -> int:
    """Binds a user by a gateway's first request; returns the pod."""
    reply = await resolver.http.get(f"/authorize/{game.namespace}/game", headers={"x-user-id": uid})
    link = await resolver.wait_for_reply(path_of(game, uid), lambda reply: reply.json["host"], f"{uid} has a host")
    pod = int(link.json["podIndex"])
    assert link.json["host"] == f"game-{pod}.game.{game.namespace}.svc"
    assert reply.headers[HEADER] == link.json["address"] == f"{link.json['ip']}:7777"
    return pod


async def moved(resolver: RunningResolver, game: Service, uid: str, left: int) -> None:
    """Checks that a user is sent to another pod only once it is linked to that pod."""
    gateway = f"/authorize/{game.namespace}/game"
    endpoints = {}
    for pod in (await resolver.http.get(path_of(game, "x").rpartition("/links")[0])).json["pods"]:
        endpoints[pod["address"]] = pod["index"]
    reply = await resolver.wait_for_reply(
        gateway,
        lambda reply: reply.status == 200 and endpoints.get(reply.headers[HEADER]) not in {None, left},
        f"{uid} is sent to another pod",
        headers={"x-user-id": uid},
    )
    link = await asyncio.to_thread(game.get, f"game.{uid}")
    assert link["spec"]["podIndex"] == endpoints[reply.headers[HEADER]]


async def test_draining_pod_keeps_its_users_and_gets_no_new_ones(resolver: RunningResolver, game: Service) -> None:
    pod = await bound(resolver, game, "alice")
    await asyncio.to_thread(game.annotate, pod, DENY_NEW_CALLS)
    await asyncio.to_thread(game.await_pod, pod, routingState="DenyNewCall")
    await resolver.wait_for_reply(
        path_of(game, "x").rpartition("/links")[0],
        lambda reply: "DenyNewCall" in str(reply.json),
        "the change is cached",
    )
    assert {await bound(resolver, game, f"u{number}") for number in range(6)} == {0, 1, 2} - {pod}
    assert (await resolver.http.get(path_of(game, "alice"))).json["podIndex"] == pod


async def test_users_of_a_shut_down_pod_are_sent_to_their_new_pods(resolver: RunningResolver, game: Service) -> None:
    pod = await bound(resolver, game, "alice")
    await asyncio.to_thread(game.annotate, pod, SHUT_DOWN)
    await moved(resolver, game, "alice", pod)


async def test_users_of_a_pod_that_is_not_ready_wait_for_it(resolver: RunningResolver, game: Service) -> None:
    pod = await bound(resolver, game, "alice")
    await asyncio.to_thread(game.annotate, pod, NOT_READY)
    gateway, headers = f"/authorize/{game.namespace}/game", {"x-user-id": "alice"}
    reply = await resolver.wait_for_reply(
        gateway, lambda reply: reply.status == 503, "its pod is not ready", headers=headers
    )
    assert reply.problem[1] == "pod-not-routable"
    await asyncio.to_thread(game.annotate, pod, READY)
    await resolver.wait_for_reply(gateway, lambda reply: reply.status == 200, "its pod is ready", headers=headers)
    assert (await resolver.http.get(path_of(game, "alice"))).json["podIndex"] == pod


async def test_users_of_a_removed_pod_are_sent_to_their_new_pods(resolver: RunningResolver, game: Service) -> None:
    users = [f"u{number}" for number in range(9)]
    pods = {uid: await bound(resolver, game, uid) for uid in users}
    assert set(pods.values()) == {0, 1, 2}
    await asyncio.to_thread(game.scale, 2)
    for uid, pod in pods.items():
        if pod == 2:
            await moved(resolver, game, uid, 2)
        else:
            assert (await resolver.http.get(path_of(game, uid))).json["podIndex"] == pod
    await asyncio.to_thread(game.scale, 3)
    await asyncio.to_thread(game.await_pods, 3)


async def test_held_users_get_the_first_pod_of_a_service_without_pods(
    cluster: LocalCluster, shared_service: Service
) -> None:
    wake = Service(shared_service.kubectl, shared_service.client, "wake")
    await asyncio.to_thread(wake.create_pods, 0)
    await asyncio.to_thread(wake.create_route, port=7777)
    async with run_resolver(cluster.kubeconfig, namespaces=(wake.namespace,), hold_seconds=120.0) as resolver:
        route = f"/v1/namespaces/{wake.namespace}/routes/wake"
        await resolver.wait_for_reply(route, lambda reply: reply.status == 200, "the route is known")
        uids = [f"user-{number}" for number in range(30)]
        authorize = f"/authorize/{wake.namespace}/wake"
        checks = [resolver.http.get(authorize, headers={"x-user-id": uid}) for uid in uids for _ in range(2)]
        replies = asyncio.ensure_future(asyncio.gather(*checks))
        links = resolver.components.cache.links.cache
        await resolver.wait_until(
            lambda: replies.done() or len(links.in_partition(RouteKey(wake.namespace, "wake"))) == 30,
            "all users have links, which ask the operator for pods",
        )
        assert resolver.components.holder is not None
        assert len(resolver.components.holder) == 60
        await asyncio.to_thread(wake.scale, 1)
        answers = await replies
        assert {reply.status for reply in answers} == {200}
        (endpoint,) = {reply.headers[HEADER] for reply in answers}
        link = await resolver.http.get(f"{route}/links/user-7")
        assert (link.json["podName"], link.json["address"]) == ("wake-0", endpoint)
        assert len(resolver.components.holder) == 0
    await asyncio.to_thread(wake.client.delete_all, PodLink, wake.namespace)
    await asyncio.to_thread(wake.client.delete, StatefulRoute, "wake", wake.namespace)
