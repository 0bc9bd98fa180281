"""The chart repository of two releases, as the release workflow publishes it, used by Helm."""

import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from chart.releases import Helm

#: The releases in the order in which they are published: the last one is a fix of the first one.
VERSIONS = ("0.1.0", "0.2.0", "0.1.1")

CHARTS = ("statefulroute", "statefulroute-crds")


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Logs no request."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The address at which the folder is served, on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def repository(folder: Path, address: str, helm4: Helm) -> str:
    """The address of a repository of all versions, whose archives are elsewhere, as those of releases are."""
    root = Path(__file__).parents[2]
    for version in VERSIONS:
        release = folder / "releases" / version
        for chart in CHARTS:
            source = str(root / "charts" / chart)
            helm4.run("package", source, "--version", version, "--destination", str(release)).expect_success()
        index = [f"DESTINATION={release}", f"URL={address}/releases/{version}", f"INDEX={folder}/charts/index.yaml"]
        subprocess.run(["make", "--no-print-directory", "chart-repository", *index], cwd=root, check=True)  # noqa: S607
    return f"{address}/charts"


def test_helm_finds_pulls_and_renders_each_version_of_both_charts(helm: Helm, repository: str, tmp_path: Path) -> None:
    helm.run("repo", "add", "statefulroute", repository).expect_success()
    found = helm.run("search", "repo", "statefulroute/", "--versions", "--output=yaml").expect_success().stdout
    assert sorted((each["name"], each["version"]) for each in yaml.safe_load(found)) == sorted(
        (f"statefulroute/{chart}", version) for chart in CHARTS for version in VERSIONS
    )
    latest = helm.run("search", "repo", "statefulroute/", "--output=yaml").expect_success().stdout
    assert {each["version"] for each in yaml.safe_load(latest)} == {"0.2.0"}
    for chart in CHARTS:
        for version in VERSIONS:
            name = f"statefulroute/{chart}"
            pulled = helm.run("pull", name, "--version", version, "--destination", str(tmp_path))
            assert (pulled.expect_success().stderr, (tmp_path / f"{chart}-{version}.tgz").exists()) == ("", True)
            rendered = helm.run("template", "ours", name, "--version", version).expect_success().stdout
            kinds = {each["kind"] for each in yaml.safe_load_all(rendered) if each}
            assert "CustomResourceDefinition" in kinds
            assert ("Deployment" in kinds) == (chart == "statefulroute")


def test_index_names_the_archives_of_the_releases_and_their_digests(
    repository: str, folder: Path, address: str
) -> None:
    assert repository.startswith(address)
    index = yaml.safe_load((folder / "charts/index.yaml").read_text(encoding="utf-8"))
    assert sorted(index["entries"]) == sorted(CHARTS)
    for chart, entries in index["entries"].items():
        assert [entry["version"] for entry in entries] == ["0.2.0", "0.1.1", "0.1.0"]
        for entry in entries:
            assert entry["urls"] == [f"{address}/releases/{entry['version']}/{chart}-{entry['version']}.tgz"]
            assert len(entry["digest"]) == 64
    assert [file.name for file in (folder / "charts").iterdir()] == ["index.yaml"]


def test_helm_accepts_a_changed_archive_so_the_guide_says_to_verify_it(
    helm: Helm, repository: str, folder: Path, tmp_path: Path
) -> None:
    archive = folder / "releases/0.2.0/statefulroute-0.2.0.tgz"
    original = archive.read_bytes()
    changed = archive.with_name("statefulroute-crds-0.2.0.tgz").read_bytes()
    archive.write_bytes(changed)
    try:
        pull = ("statefulroute", "--repo", repository, "--version", "0.2.0", "--destination", str(tmp_path))
        helm.run("pull", *pull).expect_success()
    finally:
        archive.write_bytes(original)
    assert (tmp_path / archive.name).read_bytes() == changed
    guide = (Path(__file__).parents[2] / "docs/guides/verify-a-release.md").read_text(encoding="utf-8")
    assert "Helm does not compare a download with the digest in the index of the repository" in guide
