"""Tests what upgrades do to values and to what is installed, without pods."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chart.releases import CHART, Helm, Release
from localcluster import LocalCluster
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace

WITHOUT_PODS: dict[str, Any] = {
    "replicas": 0,
    "crds": {"install": False},
    "admissionPolicies": {"install": False},
    "releaseOnUninstall": {"enabled": False},
    "parallelWrites": 8,
}

ROLLING_UPDATE = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


@pytest.fixture
def release(helm: Helm, dedicated_cluster: LocalCluster, admin: Kubectl) -> Iterator[Release]:
    """A release that is not installed yet."""
    with fresh_namespace(admin) as namespace:
        release = Release(helm.within(dedicated_cluster.kubeconfig), "statefulroute", namespace, WITHOUT_PODS)
        yield release
        release.uninstall()


def deployment(admin: Kubectl, release: Release) -> dict[str, Any]:
    """Returns the spec of the operator's Deployment."""
    return dict(admin.within(release.namespace).get_json("deployment", "statefulroute-operator")["spec"])


def upgraded(release: Release, *options: str) -> str:
    """Upgrades without naming the values; returns the error, if there is one."""
    where = ("--namespace", release.namespace)
    return release.helm.run("upgrade", release.name, str(CHART), *where, *options).stderr


def test_reused_values_lack_new_ones_and_reset_values_do_not(
    release: Release, first_chart: Path, admin: Kubectl
) -> None:
    if first_chart == CHART:
        pytest.skip("Kubernetes 1.31 cannot install the chart of the previous release")
    release.install(chart=first_chart)
    error = upgraded(release, "--reuse-values").partition("\nno value for ")[2]
    assert "use --reset-then-reuse-values" in error

    assert not upgraded(release, "--reset-then-reuse-values")
    (container,) = deployment(admin, release)["template"]["spec"]["containers"]
    assert "--parallel-writes=8" in container["args"]
    assert not upgraded(release, "--reuse-values", "--set=movesPerSecond=7")
    (container,) = deployment(admin, release)["template"]["spec"]["containers"]
    assert {"--parallel-writes=8", "--moves-per-second=7"} <= set(container["args"])


def test_strategy_of_an_installed_release_can_be_recreate(release: Release, admin: Kubectl) -> None:
    release.install()
    assert deployment(admin, release)["strategy"] == ROLLING_UPDATE
    release.upgrade("--set=strategy.type=Recreate")
    assert deployment(admin, release)["strategy"] == {"type": "Recreate"}
    release.upgrade()
    assert deployment(admin, release)["strategy"] == ROLLING_UPDATE
    release.upgrade("--set=strategy.rollingUpdate.maxSurge=50%")
    release.upgrade("--set=strategy.type=Recreate")
    assert deployment(admin, release)["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("change", ["rbac.create=false", "serviceAccount.name=another", "watchNamespaces={default}"])
def test_operator_stays_in_its_namespace_whatever_else_changes(release: Release, change: str) -> None:
    release.install()
    for moved in ("namespaceOverride=default", f"namespaceOverride=default,{change}"):
        error = upgraded(release, "--reuse-values", f"--set={moved}")
        assert f"Set namespaceOverride to {release.namespace}, or uninstall the release before" in error
