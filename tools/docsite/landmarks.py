"""Names of the theme's landmarks for readers of the screen, as a hook of MkDocs."""

import re

from mkdocs.plugins import get_plugin_logger

_LOG = get_plugin_logger("landmarks")

#: The theme's dialog for searches, which has no name.
_SEARCH = 'data-md-component="search" role="dialog"'

#: The list of a section: the theme names it by a label without text, although its title follows.
_SECTION = re.compile(r'aria-labelledby="(?P<id>__nav_\w+)_label"(?P<between>[^>]*>\s*<label) class="md-nav__title"')


def on_post_page(output: str, **_: object) -> str:
    """Returns the page with names for its landmarks.

    A theme in which they are not found is a warning, which fails a strict build.
    """
    if _SEARCH not in output or not _SECTION.search(output):
        _LOG.warning("The theme has other landmarks: adapt tools/docsite/landmarks.py")
    named = output.replace(_SEARCH, f'{_SEARCH} aria-label="Search"')
    return _SECTION.sub(r'aria-labelledby="\g<id>_title"\g<between> id="\g<id>_title" class="md-nav__title"', named)
