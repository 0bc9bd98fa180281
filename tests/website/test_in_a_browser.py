"""The documentation site in a real browser, which reaches no other address."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from support.browser import accessibility_violations, running_browser
from support.scale import IS_LONG
from website.look import VIEWS, overflow, served, viewed

#: Pages with wide tables, long code and pictures.
WIDE_PAGES = (
    "",
    "guides/day-two/",
    "reference/fields/",
    "reference/resolver-api/",
    "reference/other-suites/",
    "benchmarks/",
)

#: Pages with pictures, code, tables and lists of sections. By default, each view shows one of the first ones.
TYPICAL_PAGES = ("", "benchmarks/", "guides/keep-state/", "get-started/", "guides/day-two/", "reference/fields/")

#: The first cells of the tables that are wider than their place, although their rows are lists on a phone.
WIDE_LISTS = """
() => [...document.querySelectorAll(".md-typeset__scrollwrap")]
  .filter((each) => each.querySelector("table[data-stacked]") && each.scrollWidth > each.clientWidth)
  .map((each) => each.querySelector("td").textContent)
"""


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
            assert (name, page.evaluate(WIDE_LISTS)) == (name, [])
    assert outside == []


def test_rows_of_a_wide_table_are_lists_on_a_phone_with_the_headers_of_their_columns(
    browser: Browser, address: str
) -> None:
    with viewed(browser, address, "phone") as (page, _):
        page.goto(f"{address}guides/troubleshooting/")
        cell = page.get_by_role("cell", name="the route has no spec.port")
        assert cell.evaluate("each => getComputedStyle(each, '::before').content") == '"because: "'
        assert cell.evaluate("each => each.clientWidth > 300")


@pytest.mark.parametrize(("view", "first"), [*zip(VIEWS, range(len(VIEWS)), strict=True)], ids=VIEWS)
def test_typical_pages_are_accessible(browser: Browser, address: str, view: str, first: int) -> None:
    with viewed(browser, address, view) as (page, _):
        for name in TYPICAL_PAGES if IS_LONG else [TYPICAL_PAGES[first]]:
            page.goto(f"{address}{name}")
            assert (name, accessibility_violations(page)) == (name, [])


def test_search_finds_a_page_without_another_address(browser: Browser, address: str) -> None:
    with viewed(browser, address, "desktop") as (page, outside):
        page.goto(address)
        page.get_by_role("textbox", name="Search").fill("confirm-loss")
        expect(page.locator(".md-search-result__link").first).to_be_visible()
        assert "reference/" in str(page.locator(".md-search-result__link").first.get_attribute("href"))
    assert outside == []
