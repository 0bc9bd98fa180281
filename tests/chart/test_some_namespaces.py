"""Tests a release that serves some namespaces, with permissions only there, from another namespace."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.kubelet import NOT_READY_ANNOTATION, Kubelet
from chart.releases import RESTRICTED_NAMESPACE, ROOT, Helm, Release
from localcluster import LocalCluster
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
    """The cluster-wide objects, installed by an administrator as docs/install.md describes."""
    files = ("--filename", str(ROOT / "crds"), "--filename", str(ROOT / "deploy/admission"))
    admin.run("apply", "--server-side", *files).expect_success()
    admin.run("wait", "--for=condition=Established", "--timeout=60s", *files[:2]).expect_success()
    yield
    admin.run("delete", *files).expect_success()


@pytest.fixture
def tenant(dedicated_cluster: LocalCluster, restricted_kubectl: Kubectl, games: list[Service], tmp_path: Path) -> Path:
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
    return file


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
