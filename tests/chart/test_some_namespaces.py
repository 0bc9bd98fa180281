"""Tests a release that serves some namespaces, with permissions only there, from another namespace."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pykube.objects import Pod, StatefulSet

from chart.kubelet import NOT_READY_ANNOTATION, Kubelet
from chart.releases import RESTRICTED_NAMESPACE, ROOT, Helm, Release
from localcluster import LocalCluster
from statefulroute.api.group import FINALIZER
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.service import Service
from support.waiting import eventually

#: The cluster-wide objects do not belong to this release.
SHARED: dict[str, Any] = {"crds": {"install": False}, "admissionPolicies": {"install": False}}


@pytest.fixture
def games(admin: Kubectl, independent_client: IndependentClient) -> Iterator[list[Service]]:
    """Three services, each in a separate namespace."""
    with ExitStack() as stack:
        namespaces = [stack.enter_context(fresh_namespace(admin)) for _ in range(3)]
        yield [Service(admin.within(namespace), independent_client) for namespace in namespaces]


@pytest.fixture
def shared(admin: Kubectl) -> Iterator[None]:
    """The cluster-wide objects, installed by an administrator as docs/reference/install.md describes."""
    files = ("--filename", str(ROOT / "crds"), "--filename", str(ROOT / "deploy/admission"))
    admin.run("apply", "--server-side", *files).expect_success()
    admin.run("wait", "--for=condition=Established", "--timeout=60s", *files[:2]).expect_success()
    yield
    admin.run("delete", *files).expect_success()


@pytest.fixture
def tenant(
    dedicated_cluster: LocalCluster, restricted_kubectl: Kubectl, games: list[Service], tmp_path: Path
) -> Iterator[Path]:
    """The kubeconfig of a user with all permissions in the release's namespace and in two others."""
    restricted_kubectl.run("create", "serviceaccount", "tenant").expect_success()
    for namespace in (RESTRICTED_NAMESPACE, *(game.namespace for game in games[:2])):
        kubectl = restricted_kubectl.within(namespace)
        kubectl.run("create", "role", "tenant", "--verb=*", "--resource=*.*").expect_success()
        kubectl.run(
            "create", "rolebinding", "tenant", "--role=tenant", f"--serviceaccount={RESTRICTED_NAMESPACE}:tenant"
        ).expect_success()
    token = restricted_kubectl.run("create", "token", "tenant").expect_success().stdout.strip()
    config = yaml.safe_load(dedicated_cluster.kubeconfig.read_text())
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    file = tmp_path / "tenant.kubeconfig"
    file.write_text(yaml.safe_dump(config))
    yield file
    restricted_kubectl.run("delete", "serviceaccount,role,rolebinding", "tenant").expect_success()


@pytest.mark.usefixtures("shared")
def test_release_serves_only_the_given_namespaces_with_permissions_only_there(
    helm4: Helm, tenant: Path, restricted_kubectl: Kubectl, running: Kubelet, games: list[Service]
) -> None:
    *served, other = games
    resolver = {"enabled": True, "replicas": 1, "podAnnotations": NOT_READY_ANNOTATION, "drainSeconds": 0}
    values = {
        "podAnnotations": NOT_READY_ANNOTATION,
        "watchNamespaces": [game.namespace for game in served],
        "resolver": resolver,
    }
    release = Release(helm4.within(tenant), "some", RESTRICTED_NAMESPACE, values | SHARED)

    release.install()
    other.create_pods(1)
    other.create_route()
    unserved_link = other.link("alice")
    for game in served:
        game.start(1)
        game.await_bound(game.link("alice"))
    assert "status" not in other.get(unserved_link)
    release.test()
    assert [each.code for each in running.commands("link") + running.commands("unlink")] == [0, 0]
    assert [each.code for each in running.commands("look-up")] == [0]

    release.uninstall()
    assert [each.code for each in running.commands("release-0") + running.commands("release")] == [0, 0]
    eventually(lambda: not release.leftovers(restricted_kubectl), "nothing remains of it")
    assert not running.errors()


@pytest.mark.usefixtures("shared")
def test_namespaces_that_leave_the_release_keep_no_finalizers_and_annotations(  # noqa: PLR0913, PLR0917 - the fixtures it needs
    helm4: Helm,
    dedicated_cluster: LocalCluster,
    tenant: Path,
    restricted_kubectl: Kubectl,
    running: Kubelet,
    games: list[Service],
) -> None:
    kept, removed, other = games
    values = {"podAnnotations": NOT_READY_ANNOTATION, "replicas": 1, **SHARED}
    whole = Release(helm4.within(dedicated_cluster.kubeconfig), "whole", RESTRICTED_NAMESPACE, values)
    whole.install()
    for game in games:
        annotate(game)
    whole.upgrade(f"--set=watchNamespaces={{{kept.namespace},{removed.namespace}}}")
    (released,) = running.commands("release-removed")
    assert released.code == 0, released.output
    assert_released(other)
    for game in (kept, removed):
        assert game.route()["metadata"]["finalizers"] == [FINALIZER]

    # A tenant has rights only in the namespaces of its release.
    tenants = replace(whole, helm=helm4.within(tenant))
    whole.uninstall()
    tenants.install(f"--set=watchNamespaces={{{kept.namespace},{removed.namespace}}}")
    for game in (kept, removed):
        eventually(lambda game=game: FINALIZER in game.route()["metadata"].get("finalizers", ()), "it is served")
        annotate(game)
    tenants.upgrade(f"--set=watchNamespaces={{{kept.namespace}}}")
    assert [each.code for each in running.commands("release-removed")] == [0, 0]
    assert_released(removed)
    assert kept.route()["metadata"]["finalizers"] == [FINALIZER]
    kept.await_bound(kept.link("bob"))
    removed.kubectl.run("delete", "statefulroute", "game", "--timeout=30s").expect_success()
    tenants.upgrade(f"--set=watchNamespaces={{{kept.namespace}}}", "--set=parallelWrites=8")
    assert len(running.commands("release-removed")) == 2
    tenants.uninstall()
    eventually(lambda: not tenants.leftovers(restricted_kubectl), "nothing remains of it")


def annotate(game: Service) -> None:
    """Creates a service, unless it exists, and waits until its workload and its pod have annotations."""
    if not game.client.all(StatefulSet, game.namespace):
        game.start(1, statePeriodSeconds=1, workloadPeriodSeconds=1)
    game.report(0, 4, 4)
    game.await_annotations(StatefulSet, "game", workload_state="High")
    game.await_annotations(Pod, "game-0", weighted_load="4")


def assert_released(game: Service) -> None:
    """Checks that no finalizer and no annotation of the operator is left."""
    assert "finalizers" not in game.route()["metadata"]
    assert not [name for name in game.annotations(StatefulSet, "game") if name.startswith("statefulroute.io/")]
    assert "statefulroute.io/weighted-load" not in game.annotations(Pod, "game-0")
