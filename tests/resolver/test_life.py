"""What becomes of users beside a real operator: their pods are drained, shut down, killed or scaled away."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from localcluster import LocalCluster
from resolver.in_process import RunningResolver, run_resolver
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
    """An operator that serves."""
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
    """The service; its users leave at the end."""
    yield shared_service
    shared_service.client.delete_all(PodLink, shared_service.namespace)
    for pod in range(3):
        shared_service.annotate(pod, NO_ROUTING_STATE | READY)
    shared_service.await_status(routablePods=3, links=0)


@pytest_asyncio.fixture
async def resolver(cluster: LocalCluster, game: Service) -> AsyncIterator[RunningResolver]:
    """A resolver of the namespace."""
    async with run_resolver(cluster.kubeconfig, namespaces=(game.namespace,)) as made:
        yield made


def path_of(game: Service, uid: str) -> str:
    return f"/v1/namespaces/{game.namespace}/routes/game/links/{uid}"


async def bound(resolver: RunningResolver, game: Service, uid: str) -> int:
    """Bind a user by a gateway's first request; gives the pod."""
    reply = await resolver.http.get(f"/authorize/{game.namespace}/game", headers={"x-user-id": uid})
    told = await resolver.wait_for_reply(path_of(game, uid), lambda each: each.json["host"], f"{uid} is acknowledged")
    pod = int(told.json["podIndex"])
    assert told.json["host"] == f"game-{pod}.game.{game.namespace}.svc"
    assert reply.headers[HEADER] == told.json["address"] == f"{told.json['ip']}:7777"
    return pod


async def moved(resolver: RunningResolver, game: Service, uid: str, left: int) -> None:
    """See that a user is sent to no other pod than the one that it is linked to, until it is linked to another."""
    gateway = f"/authorize/{game.namespace}/game"
    endpoints = {}
    for pod in (await resolver.http.get(path_of(game, "x").rpartition("/links")[0])).json["pods"]:
        endpoints[pod["address"]] = pod["index"]
    reply = await resolver.wait_for_reply(
        gateway,
        lambda each: each.status == 200 and endpoints.get(each.headers[HEADER]) not in {None, left},
        f"{uid} is sent to another pod",
        headers={"x-user-id": uid},
    )
    link = await asyncio.to_thread(game.get, f"game.{uid}")
    assert link["spec"]["podIndex"] == endpoints[reply.headers[HEADER]]


async def test_a_draining_pod_keeps_its_users_and_gets_no_new_ones(resolver: RunningResolver, game: Service) -> None:
    pod = await bound(resolver, game, "alice")
    await asyncio.to_thread(game.annotate, pod, DENY_NEW_CALLS)
    await asyncio.to_thread(game.await_pod, pod, routingState="DenyNewCall")
    await resolver.wait_for_reply(
        path_of(game, "x").rpartition("/links")[0], lambda each: "DenyNewCall" in str(each.json), "it is known"
    )
    assert {await bound(resolver, game, f"u{each}") for each in range(6)} == {0, 1, 2} - {pod}
    assert (await resolver.http.get(path_of(game, "alice"))).json["podIndex"] == pod


async def test_the_users_of_a_pod_that_is_shut_down_are_sent_where_they_are_moved(
    resolver: RunningResolver, game: Service
) -> None:
    pod = await bound(resolver, game, "alice")
    await asyncio.to_thread(game.annotate, pod, SHUT_DOWN)
    await moved(resolver, game, "alice", pod)


async def test_the_users_of_a_pod_that_is_not_ready_wait_for_it(resolver: RunningResolver, game: Service) -> None:
    pod = await bound(resolver, game, "alice")
    await asyncio.to_thread(game.annotate, pod, NOT_READY)
    gateway, asked = f"/authorize/{game.namespace}/game", {"x-user-id": "alice"}
    reply = await resolver.wait_for_reply(
        gateway, lambda each: each.status == 503, "its pod is not ready", headers=asked
    )
    assert reply.problem[1] == "pod-not-routable"
    await asyncio.to_thread(game.annotate, pod, READY)
    await resolver.wait_for_reply(gateway, lambda each: each.status == 200, "its pod is ready", headers=asked)
    assert (await resolver.http.get(path_of(game, "alice"))).json["podIndex"] == pod


async def test_the_users_of_a_pod_that_is_scaled_away_are_sent_where_they_are_moved(
    resolver: RunningResolver, game: Service
) -> None:
    users = [f"u{each}" for each in range(9)]
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
