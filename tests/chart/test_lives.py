"""Tests a release from installation to uninstallation, under Pod Security `restricted`.

Two operators, and for a time two resolvers, run as the processes of the chart's pods, with the permissions of the
chart. The long form does it with both versions of Helm.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chart.kubelet import NOT_READY_ANNOTATION, Kubelet
from chart.releases import RESTRICTED_NAMESPACE, Helm, Release
from localcluster import LocalCluster
from statefulroute.api.group import FINALIZER
from support.independent_client import IndependentClient, StatefulRoute
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.scale import scaled
from support.service import Service
from support.waiting import eventually

LINKS = 25

#: A resolver whose pods the simulated kubelet runs.
RESOLVER = {"resolver": {"enabled": True, "podAnnotations": NOT_READY_ANNOTATION, "drainSeconds": 0}}

#: What Helm leaves.
DEFINITIONS = {
    f"customresourcedefinition.apiextensions.k8s.io/{plural}.statefulroute.io"
    for plural in ("podlinks", "statefulroutes")
}


@pytest.fixture
def game(admin: Kubectl, independent_client: IndependentClient) -> Iterator[Service]:
    """A service whose users must stay linked whatever happens to the release."""
    with fresh_namespace(admin) as namespace:
        yield Service(admin.within(namespace), independent_client)


@pytest.fixture
def deleted_service(admin: Kubectl, independent_client: IndependentClient) -> Service:
    """A service whose namespace the test deletes when no operator runs."""
    made = admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "doomed-"}})
    return Service(admin.within(made["metadata"]["name"]), independent_client)


def versions(service: Service) -> dict[str, tuple[str, str]]:
    """Returns the stored links' uids and versions: any write changes a version."""
    metadata = [link["metadata"] for link in service.links()]
    return {each["name"]: (each["uid"], each["resourceVersion"]) for each in metadata}


@pytest.mark.parametrize("helm", ["helm4", "helm3"][: scaled(1, 2)], indirect=True)
def test_release_lives_from_installation_to_uninstallation_without_a_lost_or_rewritten_link(  # noqa: PLR0913, PLR0917 - the fixtures it needs
    helm: Helm,
    first_chart: Path,
    dedicated_cluster: LocalCluster,
    restricted_kubectl: Kubectl,
    running: Kubelet,
    game: Service,
    deleted_service: Service,
) -> None:
    release = Release(
        helm.within(dedicated_cluster.kubeconfig),
        "statefulroute",
        RESTRICTED_NAMESPACE,
        {"podAnnotations": NOT_READY_ANNOTATION},
    )

    release.install(chart=first_chart)
    assert running.operators == 2
    game.start(3)
    game.link_all([f"user-{i}" for i in range(LINKS)])
    game.await_all_bound(LINKS)
    links = versions(game)
    deleted_service.create_route()
    deleted_service.await_observed()
    assert FINALIZER in deleted_service.route()["metadata"]["finalizers"]
    release.test()
    assert [each.code for each in running.commands("link") + running.commands("unlink")] == [0, 0]
    assert not {name for name in release.leftovers(restricted_kubectl) if name.endswith("-test")}

    resolving = replace(release, values={**release.values, **RESOLVER})
    resolving.upgrade("--set=parallelWrites=8")
    game.await_bound(game.link("after-the-upgrade"))
    assert running.resolvers == 2
    resolving.test()
    assert [json.loads(each.output)["uid"] for each in running.commands("look-up")] == ["helm-test"]
    release.rollback(1)
    eventually(lambda: not running.resolvers, "no resolver runs")
    game.await_bound(game.link("after-the-rollback"))

    release.uninstall()
    assert running.operators == 0
    assert [each.code for each in running.commands("release")] == [0]
    eventually(lambda: release.leftovers(restricted_kubectl) == DEFINITIONS, "only the CRDs remain")
    restricted_kubectl.run("delete", "namespace", deleted_service.namespace, "--wait=false").expect_success()
    eventually(lambda: not deleted_service.exists(StatefulRoute, deleted_service.name), "no finalizer blocks its route")
    game.link("while-no-operator-runs")

    release.install()
    game.await_all_bound(LINKS + 3)
    assert versions(game).items() >= links.items()

    resolving.upgrade("--set=crds.keep=false,resolver.autoscaling.enabled=true")
    release.uninstall()
    eventually(lambda: not release.leftovers(restricted_kubectl), "the CRDs are gone, too")
    eventually(
        lambda: deleted_service.namespace not in deleted_service.client.terminating_namespaces(),
        "its namespace is gone",
    )
    assert not running.errors()
    assert {each.code for each in running.commands("operator") + running.commands("resolver")} == {0}
