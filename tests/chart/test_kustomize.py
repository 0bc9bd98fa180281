"""Tests the kustomize base: what the chart renders by default, without Helm's metadata."""

import shutil
import textwrap
from pathlib import Path

import pytest

from chart.dry_run import DryRunValidator
from chart.kinds import documents, pod_specs
from chart.releases import Helm
from helmchart.files import CHART
from helmchart.kustomize import BASE, NAMESPACE, kustomize_files
from localcluster import LocalCluster
from support.kubectl import Kubectl


@pytest.fixture
def base(admin: Kubectl, root: Path) -> str:
    return admin.run("kustomize", str(root / BASE)).expect_success().stdout


def test_base_is_what_the_chart_renders(helm4: Helm, root: Path) -> None:
    for path, text in kustomize_files(root, helm4.program):
        assert (root / path).read_text() == text, path


def test_base_contains_all_objects_of_the_chart_and_no_metadata_of_helm(helm4: Helm, base: str) -> None:
    rendered = documents(helm4.render(None, "--no-hooks", f"--namespace={NAMESPACE}").expect_success().stdout)
    keys = {(item["kind"], item["metadata"]["name"]) for item in documents(base)}
    assert keys == {(item["kind"], item["metadata"]["name"]) for item in rendered} | {("Namespace", NAMESPACE)}
    assert "helm" not in base.lower()
    assert str(CHART) not in base


def test_overlay_in_docs_install_sets_the_image_and_adds_an_option(admin: Kubectl, root: Path, tmp_path: Path) -> None:
    page = (root / "docs/reference/install.md").read_text()
    block = page.partition("    kind: Kustomization\n")[2].partition("\n\n")[0]
    overlay = tmp_path / "overlays/mine"
    overlay.mkdir(parents=True)
    (overlay / "kustomization.yaml").write_text(textwrap.dedent(block))
    shutil.copytree(root / BASE, tmp_path / BASE)
    (spec,) = pod_specs(documents(admin.run("kustomize", str(overlay)).expect_success().stdout))
    (container,) = spec["containers"]
    assert container["image"] == "registry.example/statefulroute:0.1.0"
    assert container["args"][-1] == "--log-level=debug"


def test_api_server_and_pod_security_accept_the_base(
    dedicated_cluster: LocalCluster, admin: Kubectl, base: str
) -> None:
    items = documents(base)
    (namespace,) = (item for item in items if item["kind"] == "Namespace")
    admin.create(namespace)
    judge = DryRunValidator(dedicated_cluster.kubeconfig)
    assert [complaint for item in items for complaint in judge.errors(item)] == []
    (spec,) = pod_specs(items)
    pod = {"spec": {**spec, "serviceAccountName": "default"}, "metadata": {"name": "x", "namespace": NAMESPACE}}
    assert judge.pod_errors({"apiVersion": "v1", "kind": "Pod", **pod}) == []
    admin.run("delete", "namespace", NAMESPACE, "--wait=false").expect_success()
