"""The documentation site in a real browser, which reaches no other address."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from support.browser import running_browser
from website.look import overflow, served, viewed

#: Pages with wide tables, long code and pictures.
WIDE_PAGES = ("", "guides/day-two/", "reference/fields/", "reference/resolver-api/", "benchmarks/")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with served(site) as served_at:
        yield served_at


def test_wide_pages_fit_a_phone_and_ask_no_other_address(browser: Browser, address: str) -> None:
    with viewed(browser, address, "phone") as (page, outside):
        for name in WIDE_PAGES:
            page.goto(f"{address}{name}")
            assert (name, overflow(page)) == (name, 0)
    assert outside == []


def test_search_finds_a_page_without_another_address(browser: Browser, address: str) -> None:
    with viewed(browser, address, "desktop") as (page, outside):
        page.goto(address)
        page.get_by_role("textbox", name="Search").fill("confirm-loss")
        expect(page.locator(".md-search-result__link").first).to_be_visible()
        assert "reference/" in str(page.locator(".md-search-result__link").first.get_attribute("href"))
    assert outside == []
