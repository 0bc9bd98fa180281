"""Tests that a request through a gateway is held by the resolver until a pod takes its user."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateways.conftest import PICKER_OPTIONS
from gateways.fake_kubelet import FakeKubelet
from gateways.fleet import HOLDING, GatewayFleet, Programs
from gateways.http_client import send_request
from localcluster import LocalCluster
from localgateways.configurations import Authentication
from support.independent_client import PodLink
from support.resolver_process import ResolverProcess
from support.service import NOT_READY, READY, Service
from support.waiting import eventually

#: Longer than gateways wait for the resolver by default.
HELD_SECONDS = 4.0


@pytest.fixture
def fleet(
    cluster: LocalCluster, service: Service, kubelet: FakeKubelet, gateway_programs: Programs, tmp_path: Path
) -> Iterator[GatewayFleet]:
    """Gateways that call a resolver that holds requests."""
    options = ("--watch-namespace", service.namespace, "--hold-seconds", "60", *PICKER_OPTIONS)
    resolver = ResolverProcess(cluster.kubeconfig, tmp_path / "resolver.log", *options)
    resolver.start()
    try:
        plain = {Authentication.NONE: [resolver]}
        with GatewayFleet(gateway_programs, tmp_path, service.namespace, kubelet.addresses, plain) as fleet:
            yield fleet
    finally:
        resolver.stop()
    assert resolver.errors() == []


def test_request_is_held_until_a_pod_takes_its_user(fleet: GatewayFleet, service: Service) -> None:
    urls = {f"held-{number}": fleet.gateway(kind).url for number, kind in enumerate(HOLDING)}
    for pod in range(3):
        service.annotate(pod, NOT_READY)
    service.await_status(routablePods=0)
    with ThreadPoolExecutor(len(urls)) as pool:
        replies = {uid: pool.submit(send_request, url, [("x-user-id", uid)]) for uid, url in urls.items()}
        eventually(
            lambda: {link["spec"]["uid"] for link in service.client.all(PodLink, service.namespace)} == urls.keys(),
            "each user has a link that waits for a pod",
        )
        time.sleep(HELD_SECONDS)
        assert not any(reply.done() for reply in replies.values())
        for pod in range(3):
            service.annotate(pod, READY)
        answered = {uid: (reply.result().status, reply.result().pod) for uid, reply in replies.items()}
    links = service.client.all(PodLink, service.namespace)
    assert answered == {link["spec"]["uid"]: (200, f"game-{link['spec']['podIndex']}") for link in links}
    service.client.delete_all(PodLink, service.namespace)
