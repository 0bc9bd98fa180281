"""Runs checkov, kube-score and kubeconform on the charts: `make lint-release` with all values, otherwise with two sets.

A rendering with faults is checked, too, to see that each linter reports them.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from chart.releases import ROOT
from helmchart import programs
from helmchart.chart_file import OLDEST_KUBERNETES
from linters.findings import Exemption, Finding, expect_no_problems
from linters.programs import Rendering, checkov_of_charts, kube_score, kubeconform
from linters.schemas import write_custom_schemas, write_kubernetes_schemas
from localcluster.programs import kubernetes_version
from localcluster.progress import PlainProgress
from support.scale import IS_LONG

NEWEST_KUBERNETES = kubernetes_version().removeprefix("v").rpartition(".")[0]
MONITORS = ("servicemonitors", "podmonitors", "prometheusrules")


def rules(findings: Iterable[Finding]) -> set[str]:
    return {finding.rule for finding in findings}


@pytest.fixture(scope="module")
def checkov_findings(environment: Path, renderings: Sequence[Rendering], broken: Rendering) -> Sequence[Finding]:
    """What checkov finds in all of them: it starts slowly, so it runs once."""
    return [*checkov_of_charts(environment, broken.file.parents[1], [*renderings, broken])]


@pytest.fixture(scope="module", params=[OLDEST_KUBERNETES, NEWEST_KUBERNETES])
def version(request: pytest.FixtureRequest) -> str:
    """The oldest and the newest version of Kubernetes."""
    return str(request.param)


@pytest.fixture(scope="module")
def schemas(environment: Path, version: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The schemas of all kinds of the charts."""
    folder = tmp_path_factory.mktemp(f"schemas-{version}-")
    write_kubernetes_schemas(environment, version, folder)
    write_custom_schemas(ROOT / "crds", folder)
    monitoring = programs.monitoring_definitions(PlainProgress())
    for kind in MONITORS:
        write_custom_schemas(monitoring / f"monitoring.coreos.com_{kind}.yaml", folder)
    write_custom_schemas(programs.cilium_definitions(PlainProgress()) / "ciliumnetworkpolicies.yaml", folder)
    for kind in ("certificates", "issuers"):
        write_custom_schemas(programs.certificate_definitions(PlainProgress()) / f"cert-manager.io_{kind}.yaml", folder)
    return folder


def test_checkov_finds_nothing_that_is_not_allowed(
    checkov_findings: Sequence[Finding], exemptions: list[Exemption]
) -> None:
    found = [finding for finding in checkov_findings if finding.value_set != "broken"]
    expect_no_problems(found, exemptions, *["checkov"] * IS_LONG)


def test_kube_score_finds_nothing_that_is_not_allowed(
    renderings: Sequence[Rendering], exemptions: list[Exemption]
) -> None:
    found = [*kube_score(renderings, OLDEST_KUBERNETES)]
    expect_no_problems(found, exemptions, *["kube-score"] * IS_LONG)


def test_all_objects_conform_to_the_schemas(
    renderings: Sequence[Rendering], schemas: Path, version: str, exemptions: list[Exemption]
) -> None:
    expect_no_problems([*kubeconform(renderings, schemas, version)], exemptions, "kubeconform")


def test_checkov_reports_the_faults(checkov_findings: Sequence[Finding]) -> None:
    found = rules(finding for finding in checkov_findings if finding.value_set == "broken")
    assert {"checkov/CKV_K8S_14", "checkov/CKV_K8S_22", "checkov/CKV_K8S_43"} <= found


def test_kube_score_reports_the_faults(broken: Rendering) -> None:
    found = rules(kube_score([broken], OLDEST_KUBERNETES))
    assert {"kube-score/container-image-tag", "kube-score/container-security-context-readonlyrootfilesystem"} <= found


def test_kubeconform_reports_the_faults(broken: Rendering, schemas: Path, version: str) -> None:
    (found,) = kubeconform([broken], schemas, version)
    assert (found.rule, found.subject) == (f"kubeconform/{version}", "Deployment/operator")
    assert "revisionHistoryLimits" in found.message
