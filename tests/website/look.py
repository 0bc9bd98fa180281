"""Takes pictures of the pages of a built site, and reports those that are wider than the screen.

python tests/website/look.py SITE FOLDER [PAGE...]
"""

import argparse
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import Browser, Page, Route

from support.browser import running_browser

#: The width and the colour scheme of each picture.
VIEWS = {"desktop": (1280, "light"), "phone": (390, "light"), "dark": (1280, "dark")}


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Logs no request."""


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Serves a folder on loopback; yields its address, with a slash at its end."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@contextmanager
def viewed(browser: Browser, address: str, view: str) -> Iterator[tuple[Page, list[str]]]:
    """Opens an empty page for a site; yields it, and the requests to other addresses, which fail."""
    width, scheme = VIEWS[view]
    outside: list[str] = []

    def decide(route: Route) -> None:
        if route.request.url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()

    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    page.route("**/*", decide)
    yield page, outside
    page.close()


def overflow(page: Page) -> int:
    """Returns by how many pixels a page is wider than the screen."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def main() -> None:
    """Takes the pictures; the exit code is 1 if a page is wider than the screen, or asks another address."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path, help="the folder of the site")
    parser.add_argument("folder", type=Path, help="where the pictures are written")
    parser.add_argument("pages", nargs="*", default=[""], help="pages or folders of pages, like `guides`; default: all")
    options = parser.parse_args()
    files = {file.parent for page in options.pages for file in (options.site / page).rglob("index.html")}
    names = sorted(file.relative_to(options.site).as_posix() for file in files)
    problems = []
    with served(options.site) as address, running_browser() as browser:
        for view in VIEWS:
            (options.folder / view).mkdir(parents=True, exist_ok=True)
            with viewed(browser, address, view) as (page, outside):
                for name in names:
                    page.goto(f"{address}{name}/")
                    file = options.folder / view / f"{'index' if name == '.' else name.replace('/', '.')}.png"
                    page.screenshot(path=file, full_page=True)
                    if overflow(page) > 0:
                        problems.append(f"{view}: {name} is {overflow(page)} pixels wider than the screen")
                problems += [f"{view}: requests {url}" for url in outside]
    sys.stdout.write("".join(f"{each}\n" for each in [*problems, f"The pictures are in {options.folder}."]))
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
