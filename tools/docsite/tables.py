"""Tables and names that fit a phone, as a hook of MkDocs.

A table that is too wide for a phone is marked with `data-stacked`, and each of its cells with the header of its column:
`docs/assets/site.css` then shows each row as a list. Short names in code, such as `--shutdown`, are not broken.
"""

import html
import re
from itertools import zip_longest

#: The number of characters that a phone shows in a row of a table.
_PHONE = 46

#: Between two columns of a table, and at its sides, in characters.
_PADDING = 3

#: Prose in a narrower column than this is a column of single words.
_PROSE = 18

#: Longer values than this are read one by one. Shorter ones are compared, and stay in columns.
_COMPARED = 15

#: Longer names than this may be broken.
_UNBROKEN = 24

_TABLE = re.compile(r"<table>.*?</table>", re.DOTALL)
_ROW = re.compile(r"<tr>.*?</tr>", re.DOTALL)
_CELL = re.compile(r"(?P<tag><t[hd]\b[^>]*)>(?P<content>.*?)</t[hd]>", re.DOTALL)
_MARKUP = re.compile(r"<[^>]+>")
_INLINE_CODE = re.compile(r"<pre\b.*?</pre>|<code>(?P<code>[^<]*)</code>", re.DOTALL)
_HYPHENATED = re.compile(r"[^\s;]*-[^\s;]*")


def on_page_content(content: str, **_: object) -> str:
    """Returns the HTML of a page with marked tables and names."""
    return _INLINE_CODE.sub(_keep_names, _TABLE.sub(_mark_table, content))


def is_stacked(rows: list[list[str]]) -> bool:
    """Returns whether a table, given as the texts of its cells, is too wide for a phone, and not one to compare."""
    columns = [list(column) for column in zip_longest(*rows, fillvalue="")]
    width = sum(_width(column) + _PADDING for column in columns)
    return width > _PHONE and any(_mean_length(column[1:]) > _COMPARED for column in columns[1:])


def _width(column: list[str]) -> float:
    """Returns how many characters a column needs."""
    longest_word = max((len(word) for text in column for word in text.split()), default=0)
    return max(longest_word, min(_mean_length(column[1:]), _PROSE))


def _mean_length(texts: list[str]) -> float:
    return sum(map(len, texts)) / max(1, len(texts))


def _mark_table(table: re.Match[str]) -> str:
    # An empty corner is no header for readers of the screen.
    marked = table[0].replace("<th></th>", "<td></td>")
    rows = [[_text(cell["content"]) for cell in _CELL.finditer(row)] for row in _ROW.findall(marked)]
    if not is_stacked(rows):
        return marked
    headers = rows[0]

    def label(row: re.Match[str]) -> str:
        names = iter(headers)
        return _CELL.sub(lambda cell: f'{cell["tag"]} data-label="{html.escape(next(names, ""))}"{_rest(cell)}', row[0])

    head, body = marked.split("</thead>", 1)
    return f"{head.replace('<table>', '<table data-stacked>')}</thead>{_ROW.sub(label, body)}"


def _rest(cell: re.Match[str]) -> str:
    """Returns a cell without the start of its tag."""
    return cell[0].removeprefix(cell["tag"])


def _text(content: str) -> str:
    return html.unescape(_MARKUP.sub("", content)).strip()


def _keep_names(code: re.Match[str]) -> str:
    if code["code"] is None:
        return code[0]
    return f"<code>{_HYPHENATED.sub(_keep_name, code['code'])}</code>"


def _keep_name(name: re.Match[str]) -> str:
    return f'<span class="name">{name[0]}</span>' if len(name[0]) <= _UNBROKEN else name[0]
