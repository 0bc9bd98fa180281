"""Tests upgrades of a release whose resolver is autoscaled, with both versions of Helm and a real API server."""

import json
from collections.abc import Iterator

import pytest

from chart.releases import CHART, RESTRICTED_NAMESPACE, Helm
from localcluster import LocalCluster
from support.kubectl import Kubectl

RELEASE = "scaled"
RESOLVER = f"{RELEASE}-statefulroute-resolver"
DEFINITIONS = ("podlinks.statefulroute.io", "statefulroutes.statefulroute.io")


@pytest.fixture
def installer(helm: Helm, dedicated_cluster: LocalCluster, restricted_kubectl: Kubectl) -> Iterator[Helm]:
    """Each version of Helm for the cluster; what it installs is removed."""
    yield (cluster := helm.within(dedicated_cluster.kubeconfig))
    cluster.run("uninstall", RELEASE, "--namespace", RESTRICTED_NAMESPACE, "--no-hooks", "--wait").expect_success()
    restricted_kubectl.run("delete", "customresourcedefinition", *DEFINITIONS).expect_success()


def apply(helm: Helm, *options: str, **resolver: object) -> None:
    """Installs or upgrades the release; its pods do not run."""
    values = {"resolver": {"enabled": True, "replicas": 3} | resolver}
    arguments = ("upgrade", "--install", RELEASE, str(CHART), "--namespace", RESTRICTED_NAMESPACE, "--values=-")
    helm.run(*arguments, *options, stdin=json.dumps(values)).expect_success()


def replicas(kubectl: Kubectl) -> int:
    return int(kubectl.get_json("deployment", RESOLVER)["spec"]["replicas"])


def test_upgrades_keep_the_number_of_pods_that_an_autoscaler_sets(installer: Helm, restricted_kubectl: Kubectl) -> None:
    apply(installer)
    assert replicas(restricted_kubectl) == 3
    apply(installer, autoscaling={"enabled": True})
    assert replicas(restricted_kubectl) == 3, "without a number of its own, the Deployment would have one pod"
    scaler = restricted_kubectl.get_json("horizontalpodautoscaler", RESOLVER)
    assert scaler["spec"]["scaleTargetRef"]["name"] == RESOLVER
    # As an autoscaler does it.
    restricted_kubectl.run("scale", "deployment", RESOLVER, "--replicas=5").expect_success()
    apply(installer, autoscaling={"enabled": True}, holdSeconds=1)
    assert replicas(restricted_kubectl) == 5
    # Helm 4 applies on the server, where the autoscaler owns the number.
    forced = ["--force-conflicts"] if installer.program.name == "helm4" else []
    rollback = ("rollback", RELEASE, "2", "--namespace", RESTRICTED_NAMESPACE)
    assert not forced or "conflict" in installer.run(*rollback).stderr
    installer.run(*rollback, *forced).expect_success()
    assert replicas(restricted_kubectl) == 3, "the number of the time of that revision"
    restricted_kubectl.run("scale", "deployment", RESOLVER, "--replicas=5").expect_success()
    apply(installer, *forced)
    assert replicas(restricted_kubectl) == 3
