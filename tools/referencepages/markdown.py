"""Parts of Markdown pages."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape


def head(title: str, source: str) -> str:
    """Returns the head of a generated page.

    Args:
        title: Its title.
        source: What it is generated from, as in "the OpenAPI document".
    """
    return f"# {title}\n\n<!-- Generated from {source} by `make generate`. Do not edit. -->\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yields the lines of a table and an empty line; nothing without rows."""
    cells = [[cell(each) for each in row] for row in rows]
    if cells:
        yield f"| {' | '.join(columns)} |"
        yield f"| {' | '.join('---' for _ in columns)} |"
        yield from (f"| {' | '.join(row)} |" for row in cells)
        yield ""


def cell(text: str) -> str:
    """Returns a text as the cell of a table: on one line, and without ends of cells."""
    return " ".join(text.split()).replace("|", "\\|")


def lines(*texts: str) -> str:
    """Returns the texts that are not empty as the lines of one cell: a table with two columns fits a phone."""
    return "<br>".join(filter(None, texts))


def code(text: str) -> str:
    """Returns a text as code, also in a cell, where Markdown cannot escape `|`."""
    if "|" in text:
        return f"<code>{escape(text, quote=False).replace('|', '&#124;')}</code>"
    return f"`{text}`" if text else ""


def prose(text: str) -> str:
    """Returns a text in which `<` and `_` do not begin tags or emphasis; code stays as it is."""
    parts = text.split("`")
    return "`".join(part if index % 2 else part.replace("<", "&lt;") for index, part in enumerate(parts))
