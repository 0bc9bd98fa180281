"""Tests the chart of the CRDs alone, beside the chart of the operator with `crds.install=false`."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chart.kinds import documents
from chart.kubelet import NOT_READY_ANNOTATION, Kubelet
from chart.releases import CHART, RESTRICTED_NAMESPACE, ROOT, Helm, Release
from helmchart import programs
from helmchart.helm import pack
from localcluster import LocalCluster
from localcluster.progress import PlainProgress
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.service import Service
from support.waiting import eventually

CRDS_CHART = ROOT / "charts" / "statefulroute-crds"
LINKS = 10
NAMES = ("podlinks.statefulroute.io", "statefulroutes.statefulroute.io")
OWNER = "meta.helm.sh/release-name"
WITHOUT_CRDS = "--set=crds.install=false"


@pytest.fixture
def game(admin: Kubectl, independent_client: IndependentClient) -> Iterator[Service]:
    """A service whose users must stay linked whichever release owns the CRDs."""
    with fresh_namespace(admin) as namespace:
        yield Service(admin.within(namespace), independent_client)


@pytest.fixture
def operator(helm4: Helm, dedicated_cluster: LocalCluster, running: Kubelet) -> Iterator[Release]:  # noqa: ARG001
    """The release of the operator, not installed; what it and the CRDs leave is removed at the end."""
    helm = helm4.within(dedicated_cluster.kubeconfig)
    values = {"podAnnotations": NOT_READY_ANNOTATION}
    yield Release(helm, "statefulroute", RESTRICTED_NAMESPACE, values)
    for name in helm.run("list", "--short", "--namespace", RESTRICTED_NAMESPACE).expect_success().stdout.split():
        helm.run("uninstall", name, "--wait", "--namespace", RESTRICTED_NAMESPACE).expect_success()


@pytest.fixture
def definitions(operator: Release) -> Release:
    """The release of the CRDs, not installed."""
    return replace(operator, name="statefulroute-crds", values={})


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The packed chart of the CRDs."""
    return pack(programs.helm4(PlainProgress()), CRDS_CHART, tmp_path, "1.2.3")


@pytest.fixture(autouse=True)
def no_definitions_remain(admin: Kubectl, request: pytest.FixtureRequest) -> Iterator[None]:
    """Deletes the CRDs after a test with a release, which leaves them."""
    yield
    if "operator" in request.fixturenames:
        admin.run("delete", "customresourcedefinition", *NAMES, "--ignore-not-found", "--wait").expect_success()


def rendered(helm: Helm, chart: Path, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    text = helm.run("template", "x", str(chart), "--values=-", stdin=json.dumps(values or {})).expect_success().stdout
    return [item for item in documents(text) if item["kind"] == "CustomResourceDefinition"]


def owners(admin: Kubectl) -> set[str]:
    metadata = [admin.get_json("customresourcedefinition", name)["metadata"] for name in NAMES]
    return {str(each["annotations"][OWNER]) for each in metadata}


def versions(service: Service) -> dict[str, tuple[str, str]]:
    metadata = [link["metadata"] for link in service.links()]
    return {each["name"]: (each["uid"], each["resourceVersion"]) for each in metadata}


def test_chart_passes_helms_strict_lint(helm: Helm) -> None:
    helm.run("lint", "--strict", str(CRDS_CHART)).expect_success()


def test_both_charts_have_the_same_definitions(helm: Helm) -> None:
    alone, included = rendered(helm, CRDS_CHART), rendered(helm, CHART)
    assert [item["spec"] for item in alone] == [item["spec"] for item in included]
    for mine, main in zip(alone, included, strict=True):
        assert mine["metadata"]["name"] == main["metadata"]["name"]
        assert mine["metadata"]["labels"].keys() == main["metadata"]["labels"].keys()
        assert mine["metadata"]["annotations"] == main["metadata"]["annotations"]


def test_values_add_labels_and_annotations_but_replace_none(helm: Helm) -> None:
    values = {
        "keep": False,
        "commonLabels": {"team": "games", "app.kubernetes.io/name": "other"},
        "commonAnnotations": {"argocd.argoproj.io/sync-wave": "-1"},
    }
    for item in rendered(helm, CRDS_CHART, values):
        assert item["metadata"]["annotations"] == values["commonAnnotations"]
        assert item["metadata"]["labels"]["team"] == "games"
        assert item["metadata"]["labels"]["app.kubernetes.io/name"] == "statefulroute-crds"
    assert all("annotations" not in item["metadata"] for item in rendered(helm, CRDS_CHART, {"keep": False}))


def test_unknown_value_is_refused(helm: Helm) -> None:
    refused = helm.run("template", "x", str(CRDS_CHART), "--set=install=false")
    assert refused.code == 1
    assert "install" in refused.stderr


def test_operator_runs_beside_the_release_of_its_definitions(
    admin: Kubectl, operator: Release, definitions: Release, archive: Path, game: Service
) -> None:
    definitions.install(chart=archive)
    operator.install(WITHOUT_CRDS)
    assert owners(admin) == {definitions.name}
    game.start(3)
    game.link_all([f"user-{i}" for i in range(LINKS)])
    game.await_all_bound(LINKS)
    links = versions(game)
    definitions.upgrade("--set=commonLabels.team=games", chart=archive)
    operator.uninstall()
    definitions.uninstall()
    assert versions(game) == links
    operator.install("--take-ownership")  # back to one release, as the page of the installation describes
    assert owners(admin) == {operator.name}
    game.await_bound(game.link("after"))
    assert versions(game).items() >= links.items()


def test_release_takes_the_definitions_over_and_no_link_is_deleted_or_written(
    admin: Kubectl, operator: Release, definitions: Release, archive: Path, game: Service
) -> None:
    # Without `keep` the operator's release would delete the CRDs when it no longer contains them.
    operator.install("--set=crds.keep=false")
    game.start(3)
    game.link_all([f"user-{i}" for i in range(LINKS)])
    game.await_all_bound(LINKS)
    links = versions(game)
    arguments = ("install", definitions.name, str(archive), "--namespace", definitions.namespace)
    assert "invalid ownership metadata" in definitions.helm.run(*arguments).stderr
    definitions.install("--take-ownership", chart=archive)
    assert owners(admin) == {definitions.name}
    operator.upgrade(WITHOUT_CRDS, "--set=crds.keep=false")
    assert owners(admin) == {definitions.name}
    assert versions(game) == links
    game.await_bound(game.link("after"))
    definitions.upgrade(chart=archive)
    operator.uninstall()
    eventually(lambda: versions(game).items() >= links.items(), "all links are there")
