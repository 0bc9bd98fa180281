"""Tests two releases of the same name, in two namespaces that each of them serves alone."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from chart.releases import Helm, Release
from localcluster import LocalCluster
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace

#: What a release of some namespaces contains without an operator, so that nothing has to run.
WITHOUT_PODS: dict[str, Any] = {
    "replicas": 0,
    "crds": {"install": False},
    "admissionPolicies": {"install": False},
    "releaseOnUninstall": {"enabled": False},
    "resolver": {"enabled": True, "replicas": 0, "authentication": {"tokenAudience": "resolver"}},
}

METRICS: dict[str, Any] = {"metrics": {"tls": {"secretName": "metrics-tls"}, "authentication": True}}

#: The cluster-wide objects of a resolver that authenticates its callers, by the end of their names.
TOKENS = {"resolver-tokens"}

#: The same with authenticated metrics.
AUTHENTICATED = TOKENS | {"operator-metrics", "resolver-metrics", "metrics-reader"}


@pytest.fixture
def namespaces(admin: Kubectl) -> Iterator[list[str]]:
    """Two empty namespaces."""
    with ExitStack() as stack:
        yield [stack.enter_context(fresh_namespace(admin)) for _ in range(2)]


def release_in(namespace: str, helm: Helm, values: dict[str, Any]) -> Release:
    """Returns a release that serves only its own namespace."""
    return Release(helm, "statefulroute", namespace, {**WITHOUT_PODS, "watchNamespaces": [namespace], **values})


def roles(admin: Kubectl) -> set[str]:
    """Returns the ClusterRoles of all releases, without the name that they begin with."""
    label = "--selector=app.kubernetes.io/instance=statefulroute"
    names = admin.run("get", "clusterroles", label, "--output=name").expect_success().stdout.split()
    return {name.removeprefix("clusterrole.rbac.authorization.k8s.io/statefulroute-") for name in names}


def may_review_tokens(admin: Kubectl, namespace: str, component: str) -> bool:
    """Returns whether the account of a component may ask the API server whose a token is."""
    account = f"--as=system:serviceaccount:{namespace}:statefulroute-{component}"
    return not admin.run("auth", "can-i", "create", "tokenreviews.authentication.k8s.io", account).code


def test_two_releases_of_one_name_have_rights_of_their_own(
    helm: Helm, dedicated_cluster: LocalCluster, admin: Kubectl, namespaces: list[str]
) -> None:
    first, second = (release_in(each, helm.within(dedicated_cluster.kubeconfig), METRICS) for each in namespaces)
    first.install()
    second.install()
    assert roles(admin) == {f"{name}.{namespace}" for name in AUTHENTICATED for namespace in namespaces}

    first.uninstall()
    assert not first.leftovers(admin.within(first.namespace)) - second.leftovers(admin.within(second.namespace))
    for component in ("operator", "resolver"):
        assert not may_review_tokens(admin, first.namespace, component)
        assert may_review_tokens(admin, second.namespace, component)
    second.uninstall()
    assert not roles(admin)


def test_upgrade_of_a_release_of_some_namespaces_renames_its_cluster_wide_objects(
    helm: Helm, dedicated_cluster: LocalCluster, first_chart: Path, admin: Kubectl, namespaces: list[str]
) -> None:
    namespace = namespaces[0]
    release = release_in(namespace, helm.within(dedicated_cluster.kubeconfig), {})
    release.install(chart=first_chart)
    first_roles = roles(admin)
    assert may_review_tokens(admin, namespace, "resolver")

    release.upgrade()
    assert roles(admin) == {f"{name}.{namespace}" for name in TOKENS}
    assert may_review_tokens(admin, namespace, "resolver")

    release.rollback(1)
    assert roles(admin) == first_roles
    assert may_review_tokens(admin, namespace, "resolver")
    release.uninstall()
    assert not roles(admin)
