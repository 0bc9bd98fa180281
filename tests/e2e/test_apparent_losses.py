"""Pods that look lost and serve their users keep their links; pods that only exist do not keep them for ever."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from pykube.objects import Pod, StatefulSet

from localcluster import LocalCluster
from support.independent_client import PodLink
from support.link_recorder import LinkRecorder
from support.service import NOT_READY, READY, Service, condition_of
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator", "quiet_cluster")

#: The index of the last of three pods.
LAST = 2


@pytest.fixture
def game(shared_service: Service) -> Iterator[Service]:
    """The shared service, whose links are deleted after each test."""
    yield shared_service
    shared_service.edit_route(onPodLost=None)
    shared_service.client.delete_all(PodLink, shared_service.namespace)
    eventually(lambda: not shared_service.links(), "the links are gone")
    shared_service.await_pods(LAST + 1)


def update_template(game: Service, template: dict[str, Any]) -> None:
    """Changes the pod template for pods that are created from now on."""
    on_delete = {"type": "OnDelete", "rollingUpdate": None}
    change = {"spec": {"updateStrategy": on_delete, "template": template}}
    game.client.patch(StatefulSet, game.name, game.namespace, change)


@contextmanager
def held(game: Service, pod: str) -> Iterator[None]:
    """Keeps a pod from being removed until the end of the context."""
    game.client.patch(Pod, pod, game.namespace, {"metadata": {"finalizers": ["example.com/hold"]}})
    try:
        yield
    finally:
        game.client.patch(Pod, pod, game.namespace, {"metadata": {"finalizers": None}})


@contextmanager
def pods_on_node(game: Service, node: str) -> Iterator[None]:
    """Binds the pods that are created in the context to a node without the scheduler."""

    def set_node(name: str | None) -> None:
        update_template(game, {"spec": {"nodeName": name}})

    set_node(node)
    try:
        yield
    finally:
        set_node(None)


def await_later_link(game: Service, uid: str) -> None:
    """Waits until a later link is bound: then the operator has reconciled all earlier changes."""
    game.await_bound(game.link(uid, podIndex=0))


def test_pod_that_is_scaled_down_keeps_its_links_while_it_is_ready(game: Service, history: LinkRecorder) -> None:
    game.set_on_pod_lost("Rebind")
    name = game.link("stays", podIndex=LAST)
    game.await_bound(name)
    pod = game.pod_name(LAST)
    try:
        with held(game, pod):
            game.scale(LAST)
            game.await_pod(LAST, serviceState="Terminating", routingState="DenyNewCall", links=1)
            await_later_link(game, "later")
            assert history.transitions(name) == ["created", "Bound"]
            not_ready = {"conditions": [{"type": "Ready", "status": "False"}]}
            game.client.patch_status(Pod, pod, game.namespace, not_ready)
            game.await_moved(name, LAST)
    finally:
        game.scale(LAST + 1)


def test_pod_on_a_node_that_the_operator_has_not_seen_keeps_its_links(
    game: Service, cluster: LocalCluster, history: LinkRecorder
) -> None:
    if cluster.provider not in {"builtin", "envtest"}:
        pytest.skip("this cluster deletes pods of nodes that do not exist")
    game.set_on_pod_lost("Rebind", 0)
    pod = game.pod_name(LAST)
    try:
        with pods_on_node(game, "not-seen"):
            game.client.delete(Pod, pod, game.namespace)
            eventually(lambda: node_of(game) == "not-seen", "the pod is bound to the node")
            ready = {"phase": "Running", "podIP": "10.9.9.9", "conditions": [{"type": "Ready", "status": "True"}]}
            game.client.patch_status(Pod, pod, game.namespace, ready)
            game.await_pods(LAST + 1)
            name = game.link("new", podIndex=LAST)
            game.await_bound(name)
            await_later_link(game, "later")
            assert history.transitions(name) == ["created", "Bound"]
    finally:
        game.set_on_pod_lost("Rebind")
        game.kubectl.run("delete", "pod", pod, "--force", "--grace-period=0", "--wait=false").expect_success()


@contextmanager
def never_started(game: Service) -> Iterator[None]:
    """Creates the last pod again, and holds it Pending, like a pod that cannot be scheduled or pull its image."""
    update_template(game, {"metadata": {"annotations": {"localcluster/hold": "true"}}})
    game.client.delete(Pod, game.pod_name(LAST), game.namespace)
    try:
        yield
    finally:
        update_template(game, {"metadata": {"annotations": {"localcluster/hold": None}}})
        game.annotate(LAST, {"localcluster/hold": None})


@contextmanager
def not_ready(game: Service) -> Iterator[None]:
    """Makes the last pod fail its readiness probe."""
    game.annotate(LAST, NOT_READY)
    try:
        yield
    finally:
        game.annotate(LAST, READY)


@pytest.mark.parametrize("fault", [never_started, not_ready], ids=lambda fault: fault.__name__)
def test_pod_that_does_not_become_ready_is_lost_after_a_while(
    fault: Callable[[Service], AbstractContextManager[None]], game: Service, history: LinkRecorder
) -> None:
    game.edit_route(onPodLost={"action": "Keep", "graceSeconds": 3600, "notReadySeconds": 2})
    game.await_observed()
    name = game.link("stuck", podIndex=LAST)
    game.await_bound(name)
    with fault(game):
        game.await_link(name, "Lost", "PodNotReady")
        assert "has not been Ready for more than 2 s" in condition_of(game.get(name))["message"]
        game.set_on_pod_lost("Rebind")
        game.await_moved(name, LAST)
    assert history.transitions(name)[:3] == ["created", "Bound", "Lost"]


def node_of(game: Service) -> str | None:
    """Returns the node of the last pod; None without one."""
    pods = {pod["metadata"]["name"]: pod for pod in game.client.all(Pod, game.namespace)}
    return pods.get(game.pod_name(LAST), {}).get("spec", {}).get("nodeName")
