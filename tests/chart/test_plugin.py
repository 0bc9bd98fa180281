"""The kubectl plugin: its manifest for krew names each archive with its digest, and it leaves other programs alone."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubectlplugin.build import archive_name
from kubectlplugin.libraries import restore_library_search
from kubectlplugin.manifest import PLATFORMS, manifest

URL = "https://releases.example/v1.2.3"
PROJECT = {"version": "1.2.3", "urls": {"Documentation": "https://docs.example/"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an archive for each platform."""
    for system, architecture in PLATFORMS:
        (tmp_path / archive_name("1.2.3", system, architecture)).write_text(f"{system} {architecture}")
    return tmp_path


def test_manifest_has_the_address_and_digest_of_each_archive(folder: Path) -> None:
    written = manifest(PROJECT, folder, URL)
    assert written["metadata"]["name"] == "statefulroute"
    assert written["spec"]["version"] == "v1.2.3"
    expected = {
        (system, architecture): (
            f"{URL}/kubectl-statefulroute-1.2.3-{system}-{architecture}.{'zip' if system == 'windows' else 'tar.gz'}",
            hashlib.sha256(f"{system} {architecture}".encode()).hexdigest(),
        )
        for system, architecture in PLATFORMS
    }
    platforms = written["spec"]["platforms"]
    labels = [platform["selector"]["matchLabels"] for platform in platforms]
    assert {
        (label["os"], label["arch"]): (platform["uri"], platform["sha256"])
        for label, platform in zip(labels, platforms, strict=True)
    } == expected


def test_program_has_the_ending_of_its_platform(folder: Path) -> None:
    platforms = manifest(PROJECT, folder, URL)["spec"]["platforms"]
    programs = {platform["selector"]["matchLabels"]["os"]: platform["bin"] for platform in platforms}
    plain = "kubectl-statefulroute/kubectl-statefulroute"
    assert programs == {"linux": plain, "darwin": plain, "windows": f"{plain}.exe"}


@pytest.mark.parametrize(
    ("environment", "restored"),
    [
        ({"LD_LIBRARY_PATH": "plugin"}, {}),
        ({"LD_LIBRARY_PATH": "plugin:own", "LD_LIBRARY_PATH_ORIG": "own"}, {"LD_LIBRARY_PATH": "own"}),
        ({"PATH": "programs"}, {"PATH": "programs"}),
    ],
)
def test_exec_plugins_load_libraries_of_the_system(environment: dict[str, str], restored: dict[str, str]) -> None:
    restore_library_search(environment)
    assert environment == restored


def test_missing_archive_is_an_error(folder: Path) -> None:
    next(folder.iterdir()).unlink()
    with pytest.raises(FileNotFoundError):
        manifest(PROJECT, folder, URL)


def test_each_platform_is_built_by_the_release(root: Path) -> None:
    workflow: dict[str, Any] = yaml.safe_load((root / ".github/workflows/release.yaml").read_text())
    jobs = workflow["jobs"]
    runners = [*jobs["plugin"]["strategy"]["matrix"]["runner"], jobs["plugin-windows"]["runs-on"]]
    systems = {"ubuntu": "linux", "macos": "darwin", "windows": "windows"}
    assert sorted(systems[runner.partition("-")[0]] for runner in runners) == sorted(system for system, _ in PLATFORMS)
