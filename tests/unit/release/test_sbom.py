"""The lists of contents name what an image and a bundle contain, by package URLs that scanners know."""

import hashlib
import json
import platform
from importlib.metadata import distributions
from pathlib import Path

import pytest

from release import sbom

OS_RELEASE = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nID=debian\n'
LIBSTDCXX = """\
Package: libstdc++6
Architecture: amd64
Source: gcc-14 (14.2.0-19)
Version: 14.2.0-19+b1
Description: GNU Standard C++ Library v3
 Version: a line of the description
"""
ZLIB = "Package: zlib1g\nArchitecture: amd64\nSource: zlib\nVersion: 1:1.3.dfsg+really1.3.1-1\n"
PYTHON = "Package: libpython3.13-minimal\nArchitecture: amd64\nVersion: 3.13.5-2\n"
VENDORED = [
    {"package": "uplot", "version": "1.6.32", "license": "MIT", "file": "uplot.mjs"},
    {"package": "uplot", "version": "1.6.32", "license": "MIT", "file": "uplot.css"},
    {"package": "@scope/name", "version": "2.0.0", "license": "Apache-2.0", "file": "name.mjs"},
]


def written(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root file system of an image."""
    root = tmp_path / "root"
    written(root / "etc/os-release", OS_RELEASE)
    for name, text in (("libstdc++6", LIBSTDCXX), ("zlib1g", ZLIB)):
        written(root / "var/lib/dpkg/status.d" / name, text)
        written(root / f"var/lib/dpkg/status.d/{name}.md5sums", "0123  usr/lib/file\n")
    package = root / "opt/statefulroute/lib/python3.13/site-packages/statefulroute"
    written(package / sbom.VENDORED, json.dumps(VENDORED))
    written(root / sbom.IMAGE_SBOM, json.dumps({"specVersion": "1.6", "components": [{"name": "kopf"}]}))
    return root


def test_list_of_an_image_has_all_kinds_of_packages(root: Path) -> None:
    known = json.loads((root / sbom.IMAGE_SBOM).read_text())
    completed = sbom.image_sbom(known, root)
    assert completed["specVersion"] == "1.6"
    assert [each.get("purl", each["name"]) for each in completed["components"]] == [
        "kopf",
        "debian",
        "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19%2Bb1?arch=amd64&distro=debian-13&upstream=gcc-14%4014.2.0-19",
        "pkg:deb/debian/zlib1g@1:1.3.dfsg%2Breally1.3.1-1?arch=amd64&distro=debian-13&upstream=zlib",
        f"pkg:generic/python@{platform.python_version()}",
        "pkg:npm/%40scope/name@2.0.0",
        "pkg:npm/uplot@1.6.32",
    ]


def test_a_debian_without_a_number_has_its_name(root: Path) -> None:
    written(root / "etc/os-release", "VERSION_CODENAME=forky\nID=debian\n")
    listed = sbom.image_sbom({"components": []}, root)["components"]
    assert [each["version"] for each in listed if each["type"] == "operating-system"] == ["forky"]
    assert any("distro=debian-forky" in each.get("purl", "") for each in listed)


def test_python_of_debian_is_listed_once(root: Path) -> None:
    written(root / "var/lib/dpkg/status.d/libpython3.13-minimal", PYTHON)
    names = [each["name"] for each in sbom.image_sbom({"components": []}, root)["components"]]
    assert "libpython3.13-minimal" in names
    assert "python" not in names


def test_packages_of_a_bundle_are_those_with_modules_or_libraries_in_it(tmp_path: Path) -> None:
    environment, bundle = tmp_path / "lib/python/site-packages", tmp_path / "bundle"
    for name, record in {
        "Used_Module": "used/__init__.py,,\nused/missing.py,,\n",
        "used-library": "library.so,,\n",
        "unused": "unused.py,,\n../../bin/unused,,\n",
        "metadata": "metadata-1.0.dist-info/METADATA,,\n",
    }.items():
        for line in record.splitlines():  # from Python 3.12 on, only files that exist are listed
            written(environment / line.partition(",")[0], "")
        written(environment / f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        written(environment / f"{name}-1.0.dist-info/RECORD", record)
    for file in ("used/__init__.pyc", "library.so", "metadata-1.0.dist-info/METADATA"):
        written(bundle / file, "")
    found = sbom.bundled_packages(distributions(path=[str(environment)]), bundle)
    assert [each["purl"] for each in found] == ["pkg:pypi/used-library@1.0", "pkg:pypi/used-module@1.0"]


def test_libraries_of_the_machine_are_listed_with_their_digests(tmp_path: Path) -> None:
    for name in ("libssl.so.3", "libffi.8.dylib", "python313.dll", "abc.pyc"):
        written(tmp_path / name, name)
    written(tmp_path / "package" / "_own.so", "")
    found = sbom.shared_libraries(tmp_path)
    assert {each["name"]: each["hashes"][0]["content"] for each in found} == {
        name: hashlib.sha256(name.encode()).hexdigest() for name in ("libssl.so.3", "libffi.8.dylib", "python313.dll")
    }


def test_program_is_not_a_component_of_itself() -> None:
    program = sbom.component("application", "pypi", "statefulroute", "1.0")
    other = sbom.component("library", "pypi", "rich", "15.0")
    listed = sbom.bundle_sbom(program, [sbom.component("library", "pypi", "statefulroute", "1.0"), other])
    assert listed["metadata"] == {"component": program}
    assert listed["components"] == [other]


def test_both_pages_name_all_that_the_sbom_of_the_image_contains() -> None:
    contents = "packages of Python and Debian, Python itself, and the JavaScript of the console"
    for page in ("reference/install.md", "guides/verify-a-release.md"):
        assert contents in (Path(__file__).parents[3] / "docs" / page).read_text(encoding="utf-8")
