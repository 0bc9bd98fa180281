"""A cache of the operator that has gone stale behind open watches moves no link."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from pykube.objects import Pod

from chaos.proxy import FaultProxy
from localcluster import LocalCluster
from support.link_recorder import LinkRecorder
from support.operator_process import OperatorProcess, OperatorSlot
from support.service import Service
from support.waiting import eventually

#: The index of the lost pod, the last of three.
LAST = 2

#: Long enough for the operator to see a loss and for the test to undo it.
GRACE_SECONDS = 12

#: How long the operator may take to see a change.
OBSERVE_SECONDS = 3

Loss = Callable[[Service, LocalCluster], AbstractContextManager[None]]


@pytest.fixture
def proxy(cluster: LocalCluster, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(cluster.kubeconfig, tmp_path / "proxy") as proxy:
        yield proxy


@pytest.fixture
def operator(operator_slot: OperatorSlot, proxy: FaultProxy) -> Iterator[OperatorProcess]:
    """An operator behind the proxy."""
    with operator_slot.acquire(proxy.kubeconfig) as process:
        yield process.start()


@pytest.fixture
def game(operator: OperatorProcess, service: Service, proxy: FaultProxy) -> Iterator[Service]:
    """A service with three pods. The test may hold the watches of the operator."""
    del operator
    service.start(onPodLost={"graceSeconds": GRACE_SECONDS})
    yield service
    proxy.heal()


@contextmanager
def not_recreated(game: Service, _: LocalCluster) -> Iterator[None]:
    with game.pod_quota(LAST):
        game.client.delete(Pod, game.pod_name(LAST), game.namespace)
        game.await_pod(LAST, name=None)
        yield


@contextmanager
def on_a_node_that_is_not_ready(game: Service, cluster: LocalCluster) -> Iterator[None]:
    """Makes the node not ready while kwok is frozen, which restores the node afterwards."""
    if cluster.provider not in {"builtin", "envtest"}:
        pytest.skip("this cluster's nodes cannot be changed by the test")
    pods = {each["metadata"]["name"]: each for each in game.client.all(Pod, game.namespace)}
    node = pods[game.pod_name(LAST)]["spec"]["nodeName"]
    change = {"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]}}
    options = ("--type=strategic", f"--patch={json.dumps(change)}", "--subresource=status")
    kwok = cluster.part("kwok")
    kwok.kill(signal.SIGSTOP)
    try:
        game.kubectl.run("patch", "node", node, *options).expect_success()
        time.sleep(OBSERVE_SECONDS)  # the pod is still Ready, so no status shows that its node is lost
        yield
    finally:
        kwok.kill(signal.SIGCONT)
    game.kubectl.run("wait", "--for=condition=Ready", "--timeout=50s", f"node/{node}").expect_success()


def is_ready(game: Service) -> bool:
    """Returns whether the last pod is Ready in the API server."""
    pods = {each["metadata"]["name"]: each for each in game.client.all(Pod, game.namespace)}
    conditions = pods.get(game.pod_name(LAST), {}).get("status", {}).get("conditions", [])
    return any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)


@pytest.mark.parametrize("loss", [not_recreated, on_a_node_that_is_not_ready], ids=lambda loss: loss.__name__)
def test_stale_cache_moves_no_link(  # noqa: PLR0913, PLR0917 - the parts of the scenario
    loss: Loss,
    game: Service,
    cluster: LocalCluster,
    proxy: FaultProxy,
    operator: OperatorProcess,
    recorder: LinkRecorder,
) -> None:
    names = [game.link(f"user-{number}", podIndex=LAST) for number in range(5)]
    game.await_all_bound(5)
    with loss(game, cluster):
        proxy.hold_watches()
    eventually(lambda: is_ready(game), "the pod is Ready again")
    # At the end of the grace period, the operator learns it from a read, because the watches are held.
    eventually(
        lambda: "a pod that looked lost is not" in operator.log_text or game.links_by_pod() != {LAST: 5},
        "the grace period is over",
        seconds=30,
    )
    assert game.links_by_pod() == {LAST: 5}
    proxy.heal()
    game.await_status(unservedLinks=0)
    assert recorder.transitions_of(names) == {name: ["created", "Bound"] for name in names}


def test_links_of_a_lost_pod_move_while_watches_are_held(
    game: Service, cluster: LocalCluster, proxy: FaultProxy
) -> None:
    name = game.link("moved", podIndex=LAST)
    game.await_bound(name)
    with not_recreated(game, cluster):
        proxy.hold_watches()
        eventually(lambda: game.get(name)["spec"]["podIndex"] != LAST, "the link is moved", seconds=30)
        proxy.heal()
