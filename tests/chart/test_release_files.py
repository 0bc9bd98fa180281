"""The files of a release have the image that was pushed, and the changes of the version."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from chart.releases import previous_chart
from helmchart import programs
from helmchart.changelog import changes, notes
from helmchart.packing import Publication, pack_operator
from helmchart.release_files import with_image, write_files
from localcluster.errors import LocalClusterError
from localcluster.progress import PlainProgress

DIGEST = "sha256:" + "a" * 64
SOURCE = "https://git.example/statefulroute"
CHANGELOG = "# Changelog\n\n## 0.2.0 (2026-02-01)\n\n### Added\n\n- New.\n\n## 0.1.0 (2026-01-01)\n\n- Old.\n"


def test_files_have_the_released_image(root: Path, tmp_path: Path) -> None:
    image = f"registry.example/statefulroute:0.1.0@{DIGEST}"
    write_files(root, tmp_path, image)
    objects = list(yaml.safe_load_all((tmp_path / "install.yaml").read_text()))
    (deployment,) = (item for item in objects if item["kind"] == "Deployment")
    assert {container["image"] for container in deployment["spec"]["template"]["spec"]["containers"]} == {image}
    assert {item["metadata"].get("namespace") for item in objects if item["kind"] == "ServiceAccount"} == {
        "statefulroute-system"
    }
    definitions = list(yaml.safe_load_all((tmp_path / "crds.yaml").read_text()))
    assert {item["spec"]["names"]["kind"] for item in definitions} == {"PodLink", "StatefulRoute"}
    assert (tmp_path / "release-notes.md").read_text().startswith("### Added\n")


def test_packed_chart_has_its_version_and_the_digest_of_the_image(root: Path, tmp_path: Path) -> None:
    helm = programs.helm4(PlainProgress())
    version = "0.0.0-main-0123456789ab"
    archive = pack_operator(root, helm, tmp_path, Publication(version, "registry.example/statefulroute", DIGEST))
    assert archive.name == f"statefulroute-{version}.tgz"
    described = subprocess.run([helm, "show", "chart", archive], capture_output=True, text=True, check=True).stdout
    chart = yaml.safe_load(described)
    assert (chart["version"], chart["appVersion"]) == (version, version)
    (image,) = yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
    assert image["image"] == f"registry.example/statefulroute:{version}"
    assert images(helm, archive) == {f"registry.example/statefulroute@{DIGEST}"}
    # As the guide for FIPS says.
    values = ("--set", f"image.tag={version}-fips", "--set", "image.digest=")
    assert images(helm, archive, *values) == {f"registry.example/statefulroute:{version}-fips"}


def images(helm: Path, archive: Path, *options: str) -> set[str]:
    """Returns the images of a packed chart."""
    command = [helm, "template", archive, *options]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^ +image: [\"']?([^\"'\n]+)", rendered, re.MULTILINE))


def test_chart_of_the_previous_release_is_found_among_what_make_chart_packs(tmp_path: Path) -> None:
    for name in ("statefulroute-0.9.0.tgz", "statefulroute-crds-0.9.0.tgz"):
        (tmp_path / name).touch()
    assert previous_chart(tmp_path).name == "statefulroute-0.9.0.tgz"


@pytest.mark.parametrize(("version", "text"), [("0.2.0", "### Added\n\n- New.\n"), ("0.1.0", "- Old.\n")])
def test_notes_are_the_section_of_the_version(version: str, text: str) -> None:
    assert notes(CHANGELOG, version, SOURCE) == text


def test_links_of_notes_lead_to_the_files_of_the_tag_from_any_page() -> None:
    links = "[a](docs/a.md#b), [c](https://c.example/d) and [e](#f)"
    changelog = f"# Changelog\n\n## 0.2.0 (2026-02-01)\n\n### Added\n\n- {links}.\n"
    text = notes(changelog, "0.2.0", SOURCE)
    assert f"[a]({SOURCE}/blob/v0.2.0/docs/a.md#b), [c](https://c.example/d) and [e](#f)" in text
    assert f"({SOURCE}/blob/v0.2.0/docs/a.md#b)" in changes(text)[0]["description"]


def test_changes_for_artifact_hub_have_a_kind_each() -> None:
    text = "### Added\n\n- New,\n  on two lines.\n- Newer.\n\n### Fixed\n\n- Old.\n"
    assert changes(text) == [
        {"kind": "added", "description": "New, on two lines."},
        {"kind": "added", "description": "Newer."},
        {"kind": "fixed", "description": "Old."},
    ]


def test_charts_name_their_icon_sources_and_maintainers(root: Path) -> None:
    for folder in (root / "charts").iterdir():
        chart = yaml.safe_load((folder / "Chart.yaml").read_text())
        site = f"{chart['home']}latest/"
        assert chart["icon"].startswith(site)
        assert (root / "docs" / chart["icon"].removeprefix(site)).is_file()
        assert chart["sources"]
        assert [maintainer["name"] for maintainer in chart["maintainers"]]
        assert chart["annotations"]["artifacthub.io/license"] == "Apache-2.0"
        assert {link["name"] for link in yaml.safe_load(chart["annotations"]["artifacthub.io/links"])} >= {"Changelog"}


def test_version_without_a_section_is_refused() -> None:
    with pytest.raises(LocalClusterError, match=r"no section for 0\.3\.0: run `\.venv/bin/towncrier build`"):
        notes(CHANGELOG, "0.3.0", SOURCE)


def test_manifests_without_the_image_are_refused() -> None:
    with pytest.raises(LocalClusterError, match="run `make generate`"):
        with_image("image: other:0.1.0\n", "0.1.0", "registry.example/statefulroute")
