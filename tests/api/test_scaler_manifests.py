"""A real API server accepts the manifests of other scalers, with KEDA's CustomResourceDefinition. KEDA does not run."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster import LocalClusterError
from localcluster.modules import download_modules
from localcluster.progress import PlainProgress
from support.kubectl import Kubectl
from support.waiting import eventually

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "deploy/autoscaling"

_KEDA = "github.com/kedacore/keda/v2"
_CRD = "config/crd/bases/keda.sh_scaledobjects.yaml"


@pytest.fixture(scope="module")
def keda(installed: Kubectl) -> Iterator[None]:
    """The kind ScaledObject is installed."""
    try:
        folder = download_modules([_KEDA], ROOT / "tools/keda", PlainProgress())[_KEDA]
    except LocalClusterError as error:
        pytest.skip(f"KEDA's definitions are not available: {error}")
    file = str(folder / _CRD)
    installed.run("apply", "--server-side", "--filename", file).expect_success()
    eventually(lambda: not installed.run("get", "scaledobjects", "--all-namespaces").code, "it can be listed")
    yield
    installed.run("delete", "--wait=false", "--filename", file).expect_success()


def manifest(name: str, namespace: str) -> dict[str, Any]:
    """Returns a manifest, in the namespace of the test."""
    item: dict[str, Any] = yaml.safe_load((MANIFESTS / name).read_text(encoding="utf-8"))
    return item | {"metadata": {**item["metadata"], "namespace": namespace}}


@pytest.mark.usefixtures("keda")
@pytest.mark.parametrize("name", ["horizontal-pod-autoscaler.yaml", "keda.yaml"])
def test_manifest_is_valid_and_a_misspelt_field_is_not(here: Kubectl, namespace: str, name: str) -> None:
    item = manifest(name, namespace)
    here.dry_run(item).expect_success()
    misspelt = copy.deepcopy(item)
    misspelt["spec"]["scaleTargetReference"] = misspelt["spec"].pop("scaleTargetRef")
    assert "scaleTargetReference" in here.dry_run(misspelt).stderr


def test_every_manifest_is_tested() -> None:
    tested = {"horizontal-pod-autoscaler.yaml", "keda.yaml", "prometheus-adapter.yaml", "README.md"}
    assert {each.name for each in MANIFESTS.iterdir()} == tested


def test_metric_of_the_horizontal_pod_autoscaler_is_that_of_the_adapter(namespace: str) -> None:
    values = yaml.safe_load((MANIFESTS / "prometheus-adapter.yaml").read_text(encoding="utf-8"))
    (rule,) = values["rules"]["external"]
    (metric,) = manifest("horizontal-pod-autoscaler.yaml", namespace)["spec"]["metrics"]
    assert rule["seriesQuery"].startswith(f"{metric['external']['metric']['name']}{{")
