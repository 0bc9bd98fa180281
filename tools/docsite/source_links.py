"""Links from the pages to files of the repository that are not part of the site, as a hook of MkDocs."""

import re
from pathlib import Path
from posixpath import dirname, join, normpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.pages import Page

_LOG = get_plugin_logger("source_links")

#: A Markdown link to a file: its path, relative to the page, and the heading in it. A title may follow.
_LINK = re.compile(r"(?<=\]\()(?P<path>\.\.?/[^)#\s]+)(?P<heading>#[^)\s]*)?(?=\)| \")")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Returns the page with links to the repository in the place of relative links that leave docs/.

    A link to a file that does not exist is a warning, which fails a strict build.
    """
    root = Path(config.config_file_path).resolve().parent
    folder = Path(config.docs_dir).relative_to(root).as_posix()

    def replace(link: re.Match[str]) -> str:
        path = normpath(join(folder, dirname(page.file.src_uri), link["path"]))
        if path.startswith(f"{folder}/") and not (root / path).is_dir():
            return link[0]
        if not (root / path).exists():
            _LOG.warning("%s links to %s, which does not exist", page.file.src_uri, path)
        kind = "tree" if (root / path).is_dir() else "blob"
        extra = config.extra
        return f"{extra['source_url']}/{kind}/{extra['source_ref']}/{path}{link['heading'] or ''}"

    return _LINK.sub(replace, markdown)
