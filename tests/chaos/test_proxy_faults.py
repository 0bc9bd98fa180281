"""Tests that links are bound soon after each kind of network fault between the operator and the API server."""

import time
from collections.abc import Callable, Iterator
from itertools import count, cycle

import pytest

from chaos.proxy import FaultProxy
from localcluster import LocalCluster
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.namespaces import drained_namespace
from support.operator_process import OperatorProcess, OperatorSlot
from support.scale import IS_LONG
from support.service import Service, is_bound
from support.waiting import eventually

#: The duration of a fault; after a longer one, retries are less frequent.
FAULT_SECONDS = 30.0 if IS_LONG else 2.0

#: The maximum time of the recovery, also on a machine that runs other tests.
RECOVERY_SECONDS = 10.0

#: A link may be bound to a pod whose end the operator has not observed because of the fault. After this time, it moves.
GRACE_SECONDS = 1

FAULTS: dict[str, Callable[[FaultProxy], None]] = {
    "slow": lambda proxy: proxy.slow(2.0),
    "too many requests": FaultProxy.too_many_requests,
    "500": lambda proxy: proxy.fail(500),
    "504": lambda proxy: proxy.fail(504),
    "504 afterwards": FaultProxy.time_out_afterwards,
    "watches held": FaultProxy.hold_watches,
    "watches cut": FaultProxy.drop_watches,
    "410": FaultProxy.expire_watches,
    "410 as an event": lambda proxy: proxy.fail_watches(410),
    "429 as an event": lambda proxy: proxy.fail_watches(429),
    "500 as an event": lambda proxy: proxy.fail_watches(500),
    "half open": FaultProxy.half_open,
    "refused": FaultProxy.refuse,
}

_uids = map("affected-user-{}".format, count())
_replicas = cycle((4, 3))


@pytest.fixture(scope="module")
def proxy(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    with FaultProxy(cluster.kubeconfig, tmp_path_factory.mktemp("operator-proxy")) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def proxied_operator(
    runs_pods: None, installed: Kubectl, operator_slot: OperatorSlot, proxy: FaultProxy
) -> Iterator[OperatorProcess]:
    del runs_pods, installed
    with operator_slot.acquire(proxy.kubeconfig) as process:
        yield process.start()
        process.stop()


@pytest.fixture(scope="module")
def game(
    proxied_operator: OperatorProcess,
    installed: Kubectl,
    operator_slot: OperatorSlot,
    independent_client: IndependentClient,
) -> Iterator[Service]:
    del proxied_operator
    with drained_namespace(installed, independent_client, operator_slot) as name:
        service = Service(installed.within(name), independent_client)
        service.start(onPodLost={"graceSeconds": GRACE_SECONDS})
        yield service


@pytest.mark.parametrize("fault", FAULTS)
def test_links_are_bound_and_pods_are_observed_soon_after_a_fault(
    game: Service, proxy: FaultProxy, proxied_operator: OperatorProcess, fault: str
) -> None:
    hits, replicas = proxy.hits, next(_replicas)
    FAULTS[fault](proxy)
    names = list(game.link_all([next(_uids) for _ in range(10)]))
    game.scale(replicas)
    time.sleep(FAULT_SECONDS)
    proxy.heal()
    names += game.link_all([next(_uids) for _ in range(10)])
    eventually(
        lambda: all(is_bound(game.get(name)) for name in names) and game.route_status()["readyReplicas"] == replicas,
        "links are bound and pods are observed",
        seconds=RECOVERY_SECONDS,
    )
    assert proxied_operator.is_running
    assert proxy.hits > hits
