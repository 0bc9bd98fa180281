"""The sandbox example with a real API server, a resolver that holds requests, and the containers as processes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster import LocalCluster
from localcluster.ports import can_listen, free_port
from sandbox.pods import EXAMPLE, SandboxPods
from sandbox.users import User
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.rbac import apply_role
from support.resolver_process import ResolverProcess
from support.service import NOT_READY, Service

_numbers = count()


@dataclass
class Sandboxes:
    """The service, its pods and its users."""

    service: Service
    pods: SandboxPods
    resolvers: list[ResolverProcess] = field(default_factory=list)

    def user(self, uid: str | None = None, resolver: int = 0) -> User:
        """Returns a user, with a new uid unless one is given."""
        return User(self.service, self.resolvers[resolver].lookups, uid or f"user-{next(_numbers)}")


@pytest.fixture(scope="module")
def sandboxes(
    cluster: LocalCluster,
    shared_kubectl: Kubectl,
    independent_client: IndependentClient,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sandboxes]:
    """The example, scaled to zero, with two resolvers."""
    if not can_listen("127.10.0.1"):
        pytest.skip("this machine cannot listen at the addresses of the cluster's pods")
    service, port = Service(shared_kubectl, independent_client, "sandbox"), free_port()
    apply_role(shared_kubectl, "server")
    for item in _manifests(service.namespace):
        shared_kubectl.create(item)
    service.edit_route(port=port, autoscaling={"scaleDownAfterSeconds": 5}, statePeriodSeconds=1)
    pods = SandboxPods(service, port, idle_seconds=600)
    sandboxes = Sandboxes(service, pods)
    folder = tmp_path_factory.mktemp("resolvers")
    options = ("--watch-namespace", service.namespace, "--hold-seconds", "60")
    try:
        for number in range(2):
            process = ResolverProcess(cluster.kubeconfig, folder / f"{number}.log", *options)
            sandboxes.resolvers.append(process.start())
        yield sandboxes
    finally:
        for resolver in sandboxes.resolvers:
            resolver.stop()
        pods.stop()
    assert pods.failures == []


def _manifests(namespace: str) -> Iterator[dict[str, Any]]:
    """Returns the objects of the example in a namespace; its pods are not Ready before their servers listen."""
    for file in sorted(EXAMPLE.glob("*.yaml")):
        text = Path(file).read_text(encoding="utf-8").replace("namespace: sandboxes", f"namespace: {namespace}")
        for item in yaml.safe_load_all(text):
            if item["kind"] == "ReplicaSet":
                item["spec"]["template"]["metadata"]["annotations"] = dict(NOT_READY)
            if item["kind"] == "CronJob":
                item["spec"]["suspend"] = True
            if item["kind"] != "Namespace":
                yield item
