"""The files of the pages: nothing is loaded from elsewhere, and data never becomes HTML."""

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest

import statefulroute.console
from statefulroute.console.static_files import load_static_files

STATIC = Path(statefulroute.console.__file__).parent / "static"
VENDOR = STATIC / "vendor"
PACKAGES = json.loads((VENDOR / "packages.json").read_text())
OWN = sorted(path for path in STATIC.iterdir() if path.suffix in {".js", ".html", ".css"})

#: What turns text into HTML or code.
DANGEROUS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc|javascript:|"
    r"createContextualFragment|setHTMLUnsafe"
)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package["package"])
def test_vendored_files_are_those_of_their_packages(package: dict[str, str]) -> None:
    assert sha256((VENDOR / package["file"]).read_bytes()).hexdigest() == package["sha256"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
    text = (VENDOR / package["licenseFile"]).read_text()
    assert {"MIT": "The MIT License", "Apache-2.0": "Apache License"}[package["license"]] in text


def test_every_vendored_file_is_listed_with_its_licence() -> None:
    listed = {package[field] for package in PACKAGES for field in ("file", "licenseFile")}
    types = {path.name for path in VENDOR.glob("*.d.mts")}
    present = {str(path.relative_to(VENDOR)) for path in VENDOR.rglob("*") if path.is_file()}
    assert present == listed | types | {"packages.json"}


def test_types_are_checked_with_the_vendored_versions() -> None:
    checked = json.loads((STATIC.parents[3] / "tools/console/package.json").read_text())["devDependencies"]
    for package in PACKAGES:
        assert checked[package["package"]] == package["version"]


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_pages_load_nothing_from_elsewhere_and_make_no_html_of_data(path: Path) -> None:
    text = path.read_text()
    assert not DANGEROUS.search(text)
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)
    for imported in re.findall(r'(?:from|import|src|href)[ =(]*"([^"#$]+)"', text):
        assert (STATIC / imported).is_file() or imported in {"preact", "htm"}, imported


def test_the_document_has_no_inline_script_or_style() -> None:
    text = (STATIC / "index.html").read_text()
    assert re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL) == [""]
    assert not re.search(r"<style|\son\w+=|\sstyle=", text)


def test_every_file_of_the_pages_is_served() -> None:
    served = load_static_files()
    assert {path.name for path in OWN} <= served.keys()
    assert served["vendor/preact.mjs"].content_type == "text/javascript"
    assert not any(name.endswith((".d.mts", ".json", ".txt")) for name in served)
