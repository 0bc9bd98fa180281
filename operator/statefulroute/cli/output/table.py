"""How commands write: aligned columns as kubectl's, with colours and bars on a terminal, or JSON, YAML and names."""

import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

import msgspec

from statefulroute.cli.command_options import Output
from statefulroute.cli.output.printable import printable

_GAP = "   "
_BLOCKS = " ▏▎▍▌▋▊▉█"
_SHORTEST_BAR, _LONGEST_BAR = 4, 20
_STYLES = {"good": "32", "warn": "33", "bad": "31", "dim": "2", "bold": "1"}

#: What stands in a cell that has nothing to say: columns can so be counted.
EMPTY = "-"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: what it says.
        style: how it looks on a terminal that has colours.
        fraction: how much of a bar after the text is filled, from 0 to 1; None is no bar.
    """

    text: str
    style: str = ""
    fraction: float | None = None


Row = Sequence[Cell | str]


@dataclass(slots=True)
class Terminal:
    """Where a command writes.

    Attributes:
        stream: the stream.
        columns: its width.
        is_terminal: whether somebody looks at it: then there are bars and colours.
        has_colours: whether it shows them: NO_COLOR says no.
    """

    stream: TextIO = field(default_factory=lambda: sys.stdout)
    columns: int = field(default_factory=lambda: shutil.get_terminal_size().columns)
    is_terminal: bool = field(default_factory=lambda: sys.stdout.isatty())  # noqa: PLW0108 - the one of that moment

    @property
    def has_colours(self) -> bool:
        """Whether colours are shown."""
        return self.is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def write_line(self, text: str = "") -> None:
        """Write a line."""
        self.write(text + "\n")

    def write(self, text: str) -> None:
        """Write a text; what the stream's encoding has no sign for is spelt out."""
        try:
            self.stream.write(text)
        except UnicodeEncodeError:
            encoding = self.stream.encoding or "ascii"
            self.stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def styled(self, text: str, style: str) -> str:
        """A text as it looks here."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if style and self.has_colours else text

    def bar(self, part: float, width: int) -> str:
        """A bar, of signs that the stream's encoding has."""
        try:
            _BLOCKS.encode(self.stream.encoding or "utf-8")
        except UnicodeEncodeError:
            return ("#" * round(max(0.0, min(part, 1.0)) * width)).ljust(width)
        return bar(part, width)


class Table:
    """Aligned columns that are written as their rows come: a page of rows at a time, and no more is held.

    On a terminal, bars take the room that the texts leave of a line; where that is too little, there are none.

    Args:
        terminal: where to.
        header: the columns' names.
        no_header: leave the first line out.
        widths: how wide each column is at least, where that is known before its rows.
    """

    def __init__(
        self, terminal: Terminal, header: Sequence[str], *, no_header: bool = False, widths: Sequence[int] = ()
    ) -> None:
        self._terminal = terminal
        self._header = header
        self._widths = [max(len(name), least) for name, least in zip(header, widths or [0] * len(header), strict=True)]
        self._bars: set[int] = set()
        self._is_begun = no_header

    def write(self, rows: Iterable[Row]) -> None:
        """Write some rows. A later row that needs more room widens its column from then on."""
        cells = [[_printable(cell) for cell in row] for row in rows]
        for row in cells:
            for index, cell in enumerate(row):
                self._widths[index] = max(self._widths[index], width(cell.text))
                if cell.fraction is not None:
                    self._bars.add(index)
        bars = self._bars_that_fit()
        if not self._is_begun:
            self._is_begun = True
            self._line([Cell(name, "bold") for name in self._header], bars)
        for row in cells:
            self._line(row, bars)
        self._terminal.stream.flush()

    def _bars_that_fit(self) -> Mapping[int, int]:
        """How long the bar of each column is; where there is no room for all, the first ones have it."""
        if not self._terminal.is_terminal:
            return {}
        texts = sum(self._widths) + len(_GAP) * (len(self._widths) - 1)
        columns = sorted(self._bars)
        for number in range(len(columns), 0, -1):
            room = (self._terminal.columns - texts) // number - 1  # a space before each
            if room >= _SHORTEST_BAR:
                return dict.fromkeys(columns[:number], min(room, _LONGEST_BAR))
        return {}

    def _line(self, row: Sequence[Cell], bars: Mapping[int, int]) -> None:
        parts = []
        for index, (cell, column) in enumerate(zip(row, self._widths, strict=True)):
            parts.append(self._terminal.styled(cell.text, cell.style) + " " * (column - width(cell.text)))
            if index in bars:
                drawn = " " * bars[index] if cell.fraction is None else self._terminal.bar(cell.fraction, bars[index])
                parts[-1] += " " + self._terminal.styled(drawn, cell.style if drawn.strip() else "")
        self._terminal.write_line(_GAP.join(parts).rstrip())


def _printable(cell: Cell | str) -> Cell:
    """A cell that cannot move the cursor, and whose letters go one way: a link's uid is anybody's text."""
    if isinstance(cell, str):
        cell = Cell(cell)
    return Cell(printable(cell.text), cell.style, cell.fraction)


def width(text: str) -> int:
    """How many columns a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(sign) else 1 + (unicodedata.east_asian_width(sign) in {"W", "F"}) for sign in text
    )


def bar(fraction: float, width: int) -> str:
    """A bar of so many columns, of which a part from 0 to 1 is filled."""
    eighths = round(max(0.0, min(fraction, 1.0)) * width * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_BLOCKS[rest] if rest else "")).ljust(width)


class ObjectWriter:
    """Objects as JSON, YAML or names, written as they come.

    Args:
        terminal: where to.
        output: as what.
        as_list: whether they are written as one list, which has an end; else each is a document of its own.
    """

    def __init__(self, terminal: Terminal, output: Output, *, as_list: bool = True) -> None:
        self._terminal = terminal
        self._output = output
        self._enclosed = as_list
        self._written = 0

    def write(self, items: Iterable[dict[str, Any]]) -> None:
        """Write some objects."""
        for item in items:
            item["metadata"].pop("managedFields", None)  # kubectl does not show them either
            match self._output:
                case Output.NAME:
                    self._terminal.write_line(full_name(item))
                case Output.JSON:
                    self._write_json(msgspec.json.format(msgspec.json.encode(item), indent=4).decode())
                case _:
                    self._write_yaml(msgspec.yaml.encode(item).decode())
            self._written += 1
        self._terminal.stream.flush()

    def close(self) -> None:
        """Write what follows the last one."""
        if self._output is Output.JSON and self._enclosed:
            self._terminal.write_line(("" if self._written else _LIST_BEGIN) + "\n    ]\n}")
        elif self._output is Output.YAML and self._enclosed and not self._written:
            self._terminal.write_line("apiVersion: v1\nkind: List\nitems: []")

    def _write_json(self, text: str) -> None:
        if not self._enclosed:
            self._terminal.write_line(text)
            return
        before = ",\n" if self._written else _LIST_BEGIN + "\n"
        self._terminal.write(before + "\n".join("        " + line for line in text.split("\n")))

    def _write_yaml(self, text: str) -> None:
        if not self._enclosed:
            self._terminal.write(("---\n" if self._written else "") + text)
            return
        before = "" if self._written else "apiVersion: v1\nkind: List\nitems:\n"
        first, *rest = text.rstrip("\n").split("\n")
        # An empty line belongs to a text of several lines, and stays empty.
        self._terminal.write_line(before + "\n".join(["- " + first, *("  " + line if line else "" for line in rest)]))


def full_name(item: dict[str, Any]) -> str:
    """An object's name as kubectl takes it: `podlink.statefulroute.io/game.alice`."""
    group = item["apiVersion"].rpartition("/")[0]
    return f"{item['kind'].lower()}{'.' + group if group else ''}/{item['metadata']['name']}"


_LIST_BEGIN = '{\n    "apiVersion": "v1",\n    "kind": "List",\n    "items": ['
