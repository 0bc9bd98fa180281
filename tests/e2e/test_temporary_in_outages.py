"""A temporary link in use keeps its pod in an outage of the API server that outlasts its TTL."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from localcluster import LocalCluster
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.resolver_process import ResolverProcess
from support.service import Service
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("own_operator")

#: The outage is shorter than 40 s, after which the nodes would count as not Ready.
TTL_SECONDS = 15

#: How long the outage goes on after the link has expired.
BEYOND_SECONDS = 3

_PAUSE_SECONDS = 0.2


@pytest.fixture
def game(here: Kubectl, independent_client: IndependentClient) -> Service:
    """A service whose pod 2 has more users than the others, so that it takes no new ones."""
    service = Service(here, independent_client)
    service.start()
    service.await_pods(3)
    for number in range(4):
        service.await_bound(service.link(f"neighbour-{number}", podIndex=2))
    return service


@pytest.fixture
def resolver(cluster: LocalCluster, game: Service, tmp_path: Path) -> Iterator[ResolverProcess]:
    """A running resolver of the namespace."""
    process = ResolverProcess(cluster.kubeconfig, tmp_path / "resolver.log", "--watch-namespace", game.namespace)
    yield process.start()
    process.stop()


class _User:
    """A user who sends requests all the time."""

    def __init__(self, resolver: ResolverProcess, namespace: str) -> None:
        self._url = f"http://{resolver.lookups}/v1/namespaces/{namespace}/routes/game/links/guest"
        self.replies: list[dict[str, Any]] = []

    def request(self) -> float:
        """Sends a request; returns how many seconds ago the link of the user expired."""
        response = requests.post(self._url, timeout=30)
        assert response.status_code == 200, (response.text, self.replies[-1:])
        self.replies.append(response.json())
        time.sleep(_PAUSE_SECONDS)
        return (datetime.now(UTC) - datetime.fromisoformat(self.replies[-1]["expireTime"])).total_seconds()


def test_user_keeps_the_pod_and_a_link_that_is_not_used_is_deleted_later(
    killable_cluster: LocalCluster, game: Service, resolver: ResolverProcess
) -> None:
    idle = game.link("idle", podIndex=0, ttlSeconds=TTL_SECONDS)
    guest = game.link("guest", podIndex=2, ttlSeconds=TTL_SECONDS)
    game.await_bound(guest)
    user, server = _User(resolver, game.namespace), killable_cluster.part("apiserver")
    eventually(lambda: user.request() < 0, "the resolver knows the user")
    server.kill()
    try:
        while user.request() < BEYOND_SECONDS:
            pass
    finally:
        server.restart()
    while user.request() > 0:
        pass
    assert {reply["podName"] for reply in user.replies} == {"game-2"}
    assert game.await_bound(guest)["podIndex"] == 2
    while game.exists(PodLink, idle):
        user.request()
    game.await_events(idle, ("Normal", "Bound", "bound to pod 'game-0'"), ("Normal", "Expired", "its time was over"))
    assert {reply["podName"] for reply in user.replies} == {"game-2"}
