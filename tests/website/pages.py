"""The pages of a built documentation site: their links, anchors and resources."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

#: The address at which the pages pretend to be, to resolve links between them.
SITE = "https://site.test/"

#: Elements without an end tag.
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}

#: The attribute by which an element loads something.
_LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "object": "data"}

#: The kinds of <link> by which a page loads something.
_LOADED_LINKS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload"}


@dataclass
class Page(HTMLParser):
    """A page of the site.

    Attributes:
        url: Its address below `SITE`.
        headings: The number of its first-level headings.
        links: The addresses that its text links to.
        steps: The addresses that a reader reaches with one click: links of the text, tabs, entries of the open section.
        resources: The addresses that a browser loads to show it.
        anchors: The ids of its elements.
    """

    url: str
    headings: int = 0
    links: set[str] = field(default_factory=set)
    steps: set[str] = field(default_factory=set)
    resources: set[str] = field(default_factory=set)
    anchors: set[str] = field(default_factory=set)
    _open: list[tuple[str, set[str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    @classmethod
    def read(cls, file: Path, root: Path) -> Self:
        """Reads the page in a file of the site in the folder `root`."""
        page = cls(urljoin(SITE, file.relative_to(root).as_posix().removesuffix("index.html")))
        page.feed(file.read_text(encoding="utf-8"))
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes what the element links to, loads or names."""
        values = {name: value or "" for name, value in attrs}
        classes = {tag, *values.get("class", "").split()}
        inside = {name for _, names in self._open for name in names}
        self.anchors |= {values["id"]} if "id" in values else set()
        self.headings += tag == "h1" and "article" in inside
        if tag == "a" and values.get("href"):
            self._add_link(urljoin(self.url, values["href"]), inside)
        if tag in _LOADS and values.get(_LOADS[tag]):
            self.resources.add(urljoin(self.url, values[_LOADS[tag]]))
        if tag == "link" and _LOADED_LINKS & set(values.get("rel", "").split()):
            self.resources.add(urljoin(self.url, values["href"]))
        if tag not in _VOID:
            self._open.append((tag, classes))

    def _add_link(self, target: str, inside: set[str]) -> None:
        if "article" in inside:
            self.links.add(target)
        if {"article", "md-tabs"} & inside or {"md-nav--primary", "md-nav__item--active"} <= inside:
            self.steps.add(urldefrag(target).url)

    def handle_endtag(self, tag: str) -> None:
        """Closes the element, with the elements inside it that have no end tag."""
        if tag in (name for name, _ in self._open):
            while self._open.pop()[0] != tag:
                pass


def read_pages(root: Path) -> dict[str, Page]:
    """Returns the pages of the site in a folder, by their addresses."""
    pages = (Page.read(file, root) for file in sorted(root.rglob("*.html")) if file.name != "404.html")
    return {page.url: page for page in pages}


def clicks(pages: dict[str, Page]) -> dict[str, int]:
    """Returns how many clicks each page is away from the front page; pages that cannot be reached are left out."""
    found = {SITE: 0}
    nearest = [SITE]
    for url in nearest:
        for step in sorted(pages[url].steps & pages.keys() - found.keys()):
            found[step] = found[url] + 1
            nearest.append(step)
    return found


def broken_links(pages: dict[str, Page], root: Path) -> Iterator[tuple[str, str]]:
    """Yields each link to a page, a file or an anchor of the site that does not exist, with the address of its page."""
    for page in pages.values():
        for link in sorted(page.links):
            target, anchor = urldefrag(link)
            if not target.startswith(SITE):
                continue
            if target in pages:
                exists = not anchor or unquote(anchor) in pages[target].anchors
            else:
                exists = (root / unquote(urlsplit(target).path[1:])).is_file()
            if not exists:
                yield page.url, link
