"""Tests a release whose objects are in another namespace than the release itself (`namespaceOverride`)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from chart.kinds import documents
from chart.kubelet import NOT_READY_ANNOTATION, Kubelet
from chart.releases import CHART, RESTRICTED_NAMESPACE, Helm, Release
from chart.samples import everything_on
from localcluster import LocalCluster
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.service import Service
from support.waiting import eventually

#: The namespace of a release, which must appear nowhere.
UNUSED = "unused-namespace"

#: What `helm install` of a whole release creates in the namespace of the release: its own record.
OF_HELM = {"secret/sh.helm.release.v1.moved.v1"}


@pytest.fixture
def namespace(admin: Kubectl) -> Iterator[str]:
    """The namespace of a release."""
    with fresh_namespace(admin) as made:
        yield made


@pytest.fixture
def game(admin: Kubectl, independent_client: IndependentClient) -> Iterator[Service]:
    """A service in a third namespace."""
    with fresh_namespace(admin) as made:
        yield Service(admin.within(made), independent_client)


def rendered(helm: Helm, values: dict[str, Any], namespace: str) -> str:
    return helm.render(values, f"--namespace={namespace}").expect_success().stdout


@pytest.mark.parametrize("policies", ["NetworkPolicy", "CiliumNetworkPolicy"])
@pytest.mark.parametrize("served", [[], ["work", "play"]], ids=["all", "some"])
def test_no_object_and_no_argument_has_the_namespace_of_the_release(
    helm4: Helm, policies: str, served: list[str]
) -> None:
    values = everything_on("play", policies) | {"watchNamespaces": served}
    text = rendered(helm4, values | {"namespaceOverride": "play"}, UNUSED)
    assert UNUSED not in text
    assert documents(text) == documents(rendered(helm4, values | {"namespaceOverride": ""}, "play"))


def test_notes_name_the_namespace_of_each_object(helm4: Helm) -> None:
    values = ("--set=namespaceOverride=play", "--set=resolver.enabled=true")
    command = ("install", "moved", str(CHART), f"--namespace={UNUSED}", "--dry-run=client", *values)
    notes = helm4.run(*command).expect_success().stdout.partition("NOTES:")[2]
    assert "kubectl rollout status deployment/moved-statefulroute-operator --namespace play" in notes
    assert "http://moved-statefulroute-resolver.play.svc:8080" in notes
    assert [line.strip() for line in notes.splitlines() if UNUSED in line] == [f"helm test moved --namespace {UNUSED}"]


def test_release_works_and_ends_in_the_other_namespace(  # noqa: PLR0913, PLR0917 - the fixtures it needs
    helm4: Helm,
    dedicated_cluster: LocalCluster,
    restricted_kubectl: Kubectl,
    running: Kubelet,
    namespace: str,
    game: Service,
) -> None:
    resolver = {"enabled": True, "replicas": 1, "podAnnotations": NOT_READY_ANNOTATION, "drainSeconds": 0}
    own = {"podAnnotations": NOT_READY_ANNOTATION, "namespaceOverride": RESTRICTED_NAMESPACE}
    helm = helm4.within(dedicated_cluster.kubeconfig)
    release = Release(helm, "moved", namespace, own | {"crds": {"keep": False}, "resolver": resolver})

    release.install()
    kinds = "all,secrets,roles,rolebindings,serviceaccounts,networkpolicies,poddisruptionbudgets,leases"
    names = restricted_kubectl.within(namespace).run("get", kinds, "--output=name").expect_success().stdout.split()
    assert {name for name in names if not name.endswith("/default")} == OF_HELM
    game.start(1)
    game.await_bound(game.link("alice"))
    release.test()
    assert [each.code for each in running.commands("link") + running.commands("look-up")] == [0, 0]

    # The Lease of another namespace would be that of a second leader.
    back = helm.run(
        "upgrade", "moved", str(CHART), f"--namespace={namespace}", "--reuse-values", "--set=namespaceOverride="
    )
    assert f"Set namespaceOverride to {RESTRICTED_NAMESPACE}" in back.stderr
    # A release of the same name may exist in a third namespace, but not put its objects into this one.
    second = replace(release, namespace=game.namespace)
    arguments = ("--namespace", game.namespace, f"--set=namespaceOverride={RESTRICTED_NAMESPACE}")
    refused = helm.run("install", second.name, str(CHART), *arguments, "--set=watchNamespaces={somewhere}")
    assert "invalid ownership metadata" in refused.stderr
    game.await_bound(game.link("bob"))

    release.uninstall()
    assert [each.code for each in running.commands("release")] == [0]
    eventually(lambda: not release.leftovers(restricted_kubectl), "nothing remains of it")
    assert not running.errors()
