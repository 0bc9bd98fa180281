"""Builds the documentation site as `make docs` does, and tests its pages."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from urllib.parse import urldefrag

import pytest

import statefulroute
import statefulroute.sync
import statefulroute.testing
from website.pages import SITE, Page, broken_links, clicks, read_pages

ROOT = Path(__file__).parents[2]

#: What applications import.
PACKAGES = (statefulroute, statefulroute.sync, statefulroute.testing)

#: Addresses that style sheets load; data: URLs contain what they load.
CSS_LOAD = re.compile(r"""(?:url\(\s*|@import\s+)["']?(?!data:|#)([^"')\s]+)""")


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    """The pages of the site, by their addresses."""
    return read_pages(site)


def test_every_page_is_at_most_three_clicks_from_the_front_page(pages: dict[str, Page]) -> None:
    distances = clicks(pages)
    assert {url: distances.get(url, "orphan") for url in pages if distances.get(url, 4) > 3} == {}


def test_every_document_is_a_page(pages: dict[str, Page]) -> None:
    documents = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in ROOT.glob("docs/**/*.md")}
    names = {"" if each in {"index", "README"} else re.sub(r"/(index|README)$", "", each) for each in documents}
    assert {f"{SITE}{name}/" if name else SITE for name in names} == pages.keys()


def test_every_link_leads_to_an_existing_page_and_heading(pages: dict[str, Page], site: Path) -> None:
    assert list(broken_links(pages, site)) == []


def test_every_link_to_the_repository_leads_to_an_existing_file(pages: dict[str, Page]) -> None:
    pattern = re.compile(r"https://github\.com/statefulroute/statefulroute/(?:blob|tree)/main/(.*)")
    links = {urldefrag(link).url for page in pages.values() for link in page.links}
    files = [found[1] for link in links if (found := pattern.fullmatch(link))]
    assert len(files) > 50
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_every_public_name_and_method_of_the_package_is_described(pages: dict[str, Page]) -> None:
    described = {anchor for url, page in pages.items() if "/reference/python/" in url for anchor in page.anchors}
    names = {name for package in PACKAGES for name in _public_names(package)}
    assert {"statefulroute.ClientDriver.bind", "statefulroute.sync.ServerDriver.users"} <= names
    assert names - described == set()


def _public_names(package: ModuleType) -> Iterator[str]:
    """Yields the name of each object that belongs to a package, and of each method and property of a driver."""
    for name in package.__all__:
        if (package, name) != (statefulroute.sync, "Address"):  # that of `statefulroute`
            yield f"{package.__name__}.{name}"
        if name.endswith(("Driver", "Cluster")):
            members = dir(getattr(package, name))
            yield from (f"{package.__name__}.{name}.{each}" for each in members if not each.startswith("_"))


def test_every_page_has_one_title(pages: dict[str, Page]) -> None:
    assert {url: page.headings for url, page in pages.items() if page.headings != 1} == {}


def test_no_page_loads_anything_from_another_address(pages: dict[str, Page], site: Path) -> None:
    loaded = {resource for page in pages.values() for resource in page.resources}
    loaded |= {load for sheet in site.rglob("*.css") for load in CSS_LOAD.findall(sheet.read_text(encoding="utf-8"))}
    outside = {each for each in loaded if re.match(r"(https?:)?//", each) and not each.startswith(SITE)}
    assert outside == set()
    assert f"{SITE}assets/site.css" in loaded
