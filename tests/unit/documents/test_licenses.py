"""The packages of the image have licenses that may be in it, and bring their texts."""

import re
from importlib.metadata import files, version
from pathlib import Path

import pytest

from referencepages.licenses import accepted, license_of_package, licenses_page

ROOT = Path(__file__).parents[3]
IMAGE = ROOT / "requirements/image.txt"
TEXT = re.compile(r"\.dist-info/.*(licen[sc]e|copying)", re.IGNORECASE)

pytestmark = pytest.mark.skipif(
    f"aiohttp=={version('aiohttp')} " not in IMAGE.read_text(encoding="utf-8"),
    reason="the page is generated with the locked versions of the image",
)


def test_each_package_of_the_image_brings_the_text_of_its_license() -> None:
    names = re.findall(r"^\| `([\w.-]+)` \|", licenses_page(ROOT).partition("## JavaScript")[0], re.MULTILINE)
    assert {"kopf", "aiohttp", "grpcio"} <= {*names}
    assert [name for name in names if not any(TEXT.search(str(file)) for file in files(name) or [])] == []


@pytest.mark.parametrize(
    ("name", "expected"), [("aiohttp", "Apache-2.0 AND MIT"), ("aiosignal", "Apache-2.0"), ("mdurl", "MIT")]
)
def test_license_is_that_of_the_metadata(name: str, expected: str) -> None:
    assert license_of_package(name) == expected


@pytest.mark.parametrize("expression", ["", "GPL-3.0-only", "MIT AND AGPL-3.0-only"])
def test_other_licenses_are_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="some-package has the license"):
        accepted("some-package", expression)
