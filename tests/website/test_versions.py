"""The pages of several versions as `make docs-version` publishes them, in a real browser."""

import os
import re
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from localcluster.locks import exclusive
from support.browser import accessibility_violations, running_browser
from support.scale import IS_LONG
from website.look import VIEWS, served, viewed

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not IS_LONG, reason="this builds the site four times: make test-docs")

#: The releases in the order in which they are published; empty: main.
RELEASES = ("", "0.1.0", "0.2.0", "0.1.1")

PERSON = {"GIT_COMMITTER_NAME": "Docs", "GIT_COMMITTER_EMAIL": "docs@example.com"}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what GitHub Pages serves after a push to main, two releases and a fix of the first."""
    repository = tmp_path_factory.mktemp("repository")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    author = {"GIT_AUTHOR_NAME": "Docs", "GIT_AUTHOR_EMAIL": "docs@example.com"}
    environment = {**kept, **PERSON, **author, "GIT_DIR": str(repository / ".git")}
    _run(["git", "init", "--quiet", "--initial-branch=main", repository], kept)
    _run(["git", "commit", "--quiet", "--allow-empty", "--message=Start"], environment)
    with exclusive(ROOT / "build/docs.lock", lambda _: None):
        for release in RELEASES:
            _run(["make", "--no-print-directory", "docs-version", f"RELEASE={release}"], environment)
    pages = tmp_path_factory.mktemp("pages")
    _run(["git", "archive", f"--output={pages}.tar", "gh-pages"], environment)
    with tarfile.open(f"{pages}.tar") as archive:
        archive.extractall(pages, filter="data")
    return pages


def _run(command: list[str | Path], environment: Mapping[str, str]) -> None:
    completed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "", "")


@pytest.fixture(scope="module")
def address(published: Path) -> Iterator[str]:
    with served(published) as served_at:
        yield served_at


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.mark.parametrize("view", VIEWS)
def test_reader_changes_the_version_of_a_page_by_keyboard(browser: Browser, address: str, view: str) -> None:
    with viewed(browser, address, view) as (page, outside):
        page.goto(f"{address}main/guides/olm/")
        expect(_banner(page)).to_be_visible()
        selector = page.get_by_role("button", name="Select version")
        expect(selector).to_have_text("main")
        selector.focus()
        expect(page.locator(".md-version__link")).to_have_text(["main", "0.2.0latest", "0.1.1"])
        assert accessibility_violations(page) == []
        page.get_by_role("link", name="0.2.0").focus()
        page.keyboard.press("Enter")
        page.wait_for_url(f"{address}0.2/guides/olm/")
        expect(page.get_by_role("button", name="Select version")).to_have_text("0.2.0latest")
        expect(_banner(page)).to_be_hidden()
        assert accessibility_violations(page) == []
    assert outside == []


def test_pages_of_an_older_release_lead_to_the_latest(browser: Browser, address: str) -> None:
    with viewed(browser, address, "desktop") as (page, _):
        page.goto(f"{address}0.1/reference/links/")
        expect(_banner(page)).to_be_visible()
        page.get_by_role("link", name="Read the latest release").click()
        page.wait_for_url(f"{address}latest/")
        expect(page.get_by_role("button", name="Select version")).to_have_text("0.2.0latest")
        expect(_banner(page)).to_be_hidden()


def test_front_page_is_that_of_the_latest_release(browser: Browser, address: str) -> None:
    with viewed(browser, address, "desktop") as (page, _):
        page.goto(address)
        page.wait_for_url(f"{address}latest/")
        expect(page.get_by_role("heading", level=1)).to_be_visible()


def test_search_stays_in_its_version(browser: Browser, address: str) -> None:
    with viewed(browser, address, "desktop") as (page, outside):
        page.goto(f"{address}0.1/")
        page.get_by_role("textbox", name="Search").fill("confirm-loss")
        expect(page.locator(".md-search-result__link").first).to_be_visible()
        assert f"{address}0.1/reference/" in page.locator(".md-search-result__link").first.evaluate("each => each.href")
    assert outside == []


def test_page_for_missing_addresses_of_every_version_shows_the_latest_release(browser: Browser, address: str) -> None:
    with viewed(browser, address, "desktop") as (page, outside):
        page.goto(f"{address}404.html")
        expect(page.get_by_role("heading", level=1)).to_have_text("404 - Not found")
        expect(page.get_by_role("button", name="Select version")).to_have_text("0.2.0latest")
    assert outside == []


@pytest.mark.parametrize(("folder", "ref"), [("main", "main"), ("0.1", "v0.1.1"), ("0.2", "v0.2.0")])
def test_pages_link_to_the_sources_of_their_version(published: Path, folder: str, ref: str) -> None:
    text = (published / folder / "guides/olm/index.html").read_text(encoding="utf-8")
    refs = set(re.findall(r"github\.com/statefulroute/statefulroute/(?:blob|tree)/([^/]+)/", text))
    assert refs == {ref}


@pytest.mark.parametrize("folder", ["main", "0.1", "0.2", "latest"])
def test_search_engines_show_the_latest_release(published: Path, folder: str) -> None:
    page = (published / folder / "guides/olm/index.html").read_text(encoding="utf-8")
    assert '<link rel="canonical" href="https://statefulroute.io/latest/guides/olm/">' in page
    assert "<loc>https://statefulroute.io/latest/guides/olm/</loc>" in (published / folder / "sitemap.xml").read_text()


def _banner(page: Page) -> Locator:
    return page.get_by_text("You are not reading the latest release")
