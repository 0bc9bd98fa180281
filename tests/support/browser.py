"""A real Chromium that opens pages as a user does."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

#: The names of the browser in the packages of distributions.
_NAMES = ("chromium", "chromium-browser", "google-chrome")

#: A busy machine takes long to draw.
_TIMEOUT_MILLISECONDS = 30_000


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Returns a context with a browser; skips the test where there is none."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("there is no Chromium on this machine: install it as root by `make browser-packages`")
    with sync_playwright() as playwright:
        expect.set_options(timeout=_TIMEOUT_MILLISECONDS)
        # The sandbox of the browser does not work for root; the pages are ours.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def open_page(
    browser: Browser, address: str, *, width: int = 1280, theme: str = "light", reports: str = ""
) -> Iterator[Page]:
    """Returns a context with a page; at its end, the page must have reported no error.

    Args:
        browser: The browser.
        address: The address to open.
        width: The width of the window, in pixels.
        theme: `light` or `dark`.
        reports: A text in all errors that are expected.
    """
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
    context.set_default_timeout(_TIMEOUT_MILLISECONDS)
    page = context.new_page()
    problems: list[str] = []

    def record(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            problems.append(f"{message.text} {message.location['url']}")

    page.on("console", record)
    page.on("pageerror", lambda error: problems.append(error.stack or str(error)))
    page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
    page.goto(address)
    yield page
    context.close()
    unexpected = [each for each in problems if not reports or reports not in each]
    assert unexpected == [], unexpected


def accessibility_violations(page: Page) -> list[str]:
    """Returns the rules of axe-core that a page violates, each with the first element that does."""
    violations = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in violations]
