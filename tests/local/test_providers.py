"""Tests which provider is chosen, and how each refuses when something is missing."""

import shutil
from pathlib import Path

import pytest

from localcluster import LocalCluster, LocalClusterError
from localcluster.components import POD_RANGE
from localcluster.progress import PlainProgress
from localcluster.providers import ClusterSpec, ProviderName, choose_provider
from localcluster.providers.envtest import find_programs
from localcluster.providers.kind import kind_configuration

FILE = Path("kubeconfig")
EXISTING = {"STATEFULROUTE_KUBECONFIG": "/k"}
ASSETS = {"KUBEBUILDER_ASSETS": "/a"}


@pytest.mark.parametrize(
    ("explicit", "kubeconfig", "environment", "chosen"),
    [
        (None, None, {}, ProviderName.BUILTIN),
        (None, None, ASSETS, ProviderName.ENVTEST),
        (None, None, EXISTING | ASSETS, ProviderName.EXISTING),
        (None, FILE, ASSETS, ProviderName.EXISTING),
        ("existing", FILE, {}, ProviderName.EXISTING),
        ("builtin", None, EXISTING | ASSETS, ProviderName.BUILTIN),
        ("kind", None, {}, ProviderName.KIND),
        (None, None, {"STATEFULROUTE_KUBECONFIG": "", "KUBEBUILDER_ASSETS": ""}, ProviderName.BUILTIN),
    ],
)
def test_chooses_the_requested_provider_or_the_one_that_the_environment_implies(
    explicit: str | None, kubeconfig: Path | None, environment: dict[str, str], chosen: ProviderName
) -> None:
    assert choose_provider(explicit, kubeconfig, environment) is chosen


def test_error_for_an_unknown_provider_lists_the_providers() -> None:
    with pytest.raises(LocalClusterError, match="use one of builtin, envtest, existing, kind"):
        choose_provider("minikube", None, {})


def test_kubeconfig_requires_the_provider_existing() -> None:
    with pytest.raises(LocalClusterError, match="belongs to the provider 'existing', not to 'builtin'"):
        choose_provider("builtin", FILE, {})


def test_wrong_folder_of_envtest_binaries_is_reported_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runtime: Path
) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(LocalClusterError, match="no program etcd and no kube-apiserver in it: set it to what"):
        LocalCluster.start("wrong")
    assert not (runtime / "wrong").exists()


def test_uses_only_the_parts_in_the_envtest_folder(tmp_path: Path) -> None:
    for file in ("etcd", "kube-apiserver", "kwok"):
        (tmp_path / file).touch(mode=0o755)
    (tmp_path / "kube-scheduler").touch(mode=0o644)  # not executable
    assert sorted(find_programs({"KUBEBUILDER_ASSETS": str(tmp_path)})) == ["apiserver", "etcd", "kwok"]


def test_envtest_without_its_variable_tells_how_to_set_it() -> None:
    with pytest.raises(LocalClusterError, match="setup-envtest use -p path"):
        LocalCluster.start("wrong", provider="envtest")


def test_existing_cluster_must_be_named() -> None:
    with pytest.raises(LocalClusterError, match="set STATEFULROUTE_KUBECONFIG"):
        LocalCluster.start("wrong", provider="existing")


def test_missing_kubeconfig_is_reported(tmp_path: Path) -> None:
    with pytest.raises(LocalClusterError, match=f"There is no kubeconfig at {tmp_path}/none"):
        LocalCluster.start("wrong", kubeconfig=tmp_path / "none")


def test_kind_without_docker_suggests_the_alternative(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = {"kind": str(tmp_path / "kind")}
    monkeypatch.setattr(shutil, "which", found.get)
    with pytest.raises(LocalClusterError, match="docker is not on PATH: install it, or use the provider 'builtin'"):
        LocalCluster.start("wrong", provider="kind")


def test_kind_configuration_contains_nodes_and_api_server_flags() -> None:
    spec = ClusterSpec("x", 3, None, ["--v=4"], POD_RANGE, None, {}, PlainProgress())
    configuration = kind_configuration(spec)
    assert configuration["nodes"] == [{"role": "control-plane"}, {"role": "worker"}, {"role": "worker"}]
    assert '"extraArgs": {"v": "4"}' in configuration["kubeadmConfigPatches"][0]


def test_kind_configuration_contains_the_image_of_the_nodes() -> None:
    environment = {"STATEFULROUTE_KIND_IMAGE": "kindest/node:v1.31.14"}
    configuration = kind_configuration(ClusterSpec("x", 2, None, [], POD_RANGE, None, environment, PlainProgress()))
    assert [node["image"] for node in configuration["nodes"]] == ["kindest/node:v1.31.14"] * 2
