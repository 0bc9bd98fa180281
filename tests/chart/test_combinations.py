"""Tests that a real API server accepts every pair of any two values; `make test-chart`: also all enums together."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, combinations, product
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.covering import Row, covering_rows
from chart.dry_run import DryRunValidator
from chart.kinds import documents, pod_specs
from chart.releases import CHART, RESTRICTED_NAMESPACE, ROOT, Helm, Release
from chart.samples import SAMPLES, dimensions, everything_on, is_allowed, nested
from helmchart import programs
from helmchart.fields import values_of
from helmchart.values import Values
from localcluster import LocalCluster
from localcluster.kubectl import minor_of
from localcluster.progress import PlainProgress
from support.kubectl import Kubectl
from support.scale import IS_LONG
from support.waiting import eventually

#: All values with choices. In the long form, they are one dimension: each combination of them is in a row.
CHOICES = tuple(".".join(value.path) for value in values_of(Values()) if value.choices)

#: The API server rejects pods of a RuntimeClass that does not exist.
RUNTIME_CLASS: dict[str, Any] = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": {"name": SAMPLES["runtimeClassName"]},
    "handler": "runsc",
}


#: Values that the API server accepts from Kubernetes 1.34 on, with those that stand for them before.
BEFORE_1_34 = {"PreferSameZone": "PreferClose", "PreferSameNode": "PreferClose"}


@pytest.fixture(scope="module")
def replaced(dedicated_cluster: LocalCluster) -> dict[str, str]:
    """The values that this version of Kubernetes does not know, with those that stand for them."""
    return BEFORE_1_34 if minor_of(dedicated_cluster.version) < 34 else {}


@pytest.fixture(scope="module")
def judge(dedicated_cluster: LocalCluster, restricted_kubectl: Kubectl) -> Iterator[DryRunValidator]:
    """A validator that knows all kinds that the chart may use."""
    definitions = programs.monitoring_definitions(PlainProgress())
    monitors = [
        str(definitions / f"monitoring.coreos.com_{kind}.yaml")
        for kind in ("servicemonitors", "podmonitors", "prometheusrules")
    ]
    cilium = str(programs.cilium_definitions(PlainProgress()) / "ciliumnetworkpolicies.yaml")
    issuance = programs.certificate_definitions(PlainProgress())
    certificates = [str(issuance / f"cert-manager.io_{kind}.yaml") for kind in ("certificates", "issuers")]
    for file in (str(ROOT / "crds"), *monitors, cilium, *certificates):
        restricted_kubectl.run("apply", "--server-side", "--filename", file).expect_success()
    restricted_kubectl.create(RUNTIME_CLASS)
    restricted_kubectl.run(
        "wait", "--for=condition=Established", "--timeout=60s", "customresourcedefinitions", "--all"
    ).expect_success()
    yield DryRunValidator(dedicated_cluster.kubeconfig)
    restricted_kubectl.run("delete", "runtimeclass", RUNTIME_CLASS["metadata"]["name"]).expect_success()
    restricted_kubectl.run(
        "delete", "--filename", str(ROOT / "crds")
    ).expect_success()  # a release must install its own


def rows() -> list[Row]:
    options = dimensions(RESTRICTED_NAMESPACE)
    if not IS_LONG:
        return covering_rows(options, is_allowed)
    together = [dict(zip(CHOICES, each, strict=True)) for each in product(*(options.pop(path) for path in CHOICES))]
    rows = covering_rows({"choices": together, **options}, is_allowed)
    return [{**row, **row["choices"]} for row in rows]


def complaints(helm: Helm, judge: DryRunValidator, row: Row, replaced: dict[str, str]) -> Iterator[str]:
    known = {path: replaced.get(value, value) if isinstance(value, str) else value for path, value in row.items()}
    values = nested({path: value for path, value in known.items() if path != "choices"})
    rendering = helm.render(values, f"--namespace={RESTRICTED_NAMESPACE}")
    if rendering.code:
        yield rendering.stderr
        return
    items = documents(rendering.stdout)
    for item in items:
        if item["kind"] != "Pod":
            yield from judge.errors(item)
    for spec in pod_specs(items):
        # The pod's ServiceAccount does not exist.
        pod = {
            "spec": {**spec, "serviceAccountName": "default"},
            "metadata": {"name": "x", "namespace": RESTRICTED_NAMESPACE},
        }
        yield from judge.pod_errors({"apiVersion": "v1", "kind": "Pod", **pod})


def test_api_server_accepts_every_combination(helm4: Helm, judge: DryRunValidator, replaced: dict[str, str]) -> None:
    def errors_of_row(row: Row) -> list[Any]:
        return [(complaint, row) for complaint in complaints(helm4, judge, row, replaced)]

    tested_rows = rows()
    together = CHOICES if IS_LONG else ()
    for paths in (*combinations(CHOICES, 2), together):
        assert {tuple(row[path] for path in paths) for row in tested_rows} == set(
            product(*map(dimensions(RESTRICTED_NAMESPACE).get, paths))
        )
    with ThreadPoolExecutor(2) as pool:
        errors = dict(chain.from_iterable(pool.map(errors_of_row, tested_rows)))
    assert not set(errors), errors


def test_api_server_accepts_the_policies_of_cilium_in_docs_install_and_no_misspelt_one(
    helm4: Helm, judge: DryRunValidator, root: Path
) -> None:
    page = (root / "docs/reference/install.md").read_text(encoding="utf-8")
    section = page.partition("## Network policies\n")[2]
    values = yaml.safe_load(section.partition("```yaml\n")[2].partition("```")[0])
    items = documents(helm4.render(values, f"--namespace={RESTRICTED_NAMESPACE}").expect_success().stdout)
    policies = [item for item in items if item["kind"] == "CiliumNetworkPolicy"]
    assert len(policies) == 3
    for policy in policies:
        assert policy["spec"]["egress"] == values["networkPolicy"]["egress"]
        assert judge.errors(policy) == []
        (complaint,) = judge.errors(policy | {"spec": policy["spec"] | {"podSelector": {}}})
        assert "podSelector" in complaint


def test_api_server_accepts_the_values_of_a_hardened_installation(
    helm4: Helm, judge: DryRunValidator, root: Path
) -> None:
    values = yaml.safe_load((root / "deploy/hardening/values.yaml").read_text(encoding="utf-8"))
    assert list(complaints(helm4, judge, values, {})) == []


@pytest.mark.usefixtures("judge")  # installs the definitions of all kinds
def test_release_with_every_value_set_is_installed_and_uninstalled(
    helm: Helm, dedicated_cluster: LocalCluster, restricted_kubectl: Kubectl, replaced: dict[str, str]
) -> None:
    own = {"crds": {"install": False}, "namespaceOverride": RESTRICTED_NAMESPACE}
    values = json.dumps(everything_on(RESTRICTED_NAMESPACE, "CiliumNetworkPolicy") | own)
    for unknown, known in replaced.items():
        values = values.replace(unknown, known)
    cluster, where = helm.within(dedicated_cluster.kubeconfig), ("--namespace", "default")
    cluster.run("install", "everything", str(CHART), *where, "--values=-", stdin=values).expect_success()
    kinds = "ciliumnetworkpolicies,servicemonitors,prometheusrules,horizontalpodautoscalers,configmaps,certificates"
    names = restricted_kubectl.run("get", kinds, "--all-namespaces", "--output=name").expect_success().stdout
    for kind in ("ciliumnetworkpolicy", "servicemonitor", "prometheusrule", "horizontalpodautoscaler", "certificate"):
        assert f"\n{kind}." in f"\n{names}"
    assert "configmap/everything-authorities" in names
    eventually(lambda: {"operator", "resolver"} <= started(restricted_kubectl), "the API server accepts its pods")
    cluster.run("uninstall", "everything", *where, "--no-hooks", "--wait").expect_success()
    release = Release(cluster, "everything", RESTRICTED_NAMESPACE)
    eventually(lambda: not release.leftovers(restricted_kubectl), "nothing is left")


def started(kubectl: Kubectl) -> set[str]:
    """Returns the components of the pods."""
    pods = kubectl.get_json("pods")["items"]
    return {pod["metadata"]["labels"].get("app.kubernetes.io/component", "") for pod in pods}
