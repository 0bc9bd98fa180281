"""Tables with aligned columns, as kubectl prints them, with colors and bars on a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from statefulroute.cli.output.messages import printable
from statefulroute.cli.output.terminal import Terminal, width

_GAP = "   "
_MIN_BAR_COLUMNS, _MAX_BAR_COLUMNS = 4, 20

#: The text of a cell without a value; it keeps the columns countable for programs.
EMPTY = "-"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: its text.
        style: its style on a terminal with colors; see `Terminal.styled`.
        fraction: the filled part of the bar after the text, from 0 to 1; None is no bar.
    """

    text: str
    style: str = ""
    fraction: float | None = None


Row = Sequence[Cell | str]


class Table:
    """Aligned columns that are written as rows arrive: memory holds one page of rows.

    On a terminal, bars take the columns that the texts leave free; there are no bars if those are too few.

    Args:
        terminal: where to write the table.
        header: the names of the columns.
        no_header: whether to omit the header line.
        widths: the minimum width of each column, if it is known before the rows are.
        optional: how many of the last columns are shown only from the first row on in which they have a value.
    """

    def __init__(
        self,
        terminal: Terminal,
        header: Sequence[str],
        *,
        no_header: bool = False,
        widths: Sequence[int] = (),
        optional: int = 0,
    ) -> None:
        self._terminal = terminal
        self._header = header
        self._hidden = {*range(len(header) - optional, len(header))}
        minimums = widths or [0] * len(header)
        self._widths = [max(len(name), minimum) for name, minimum in zip(header, minimums, strict=True)]
        self._bars: set[int] = set()
        self._has_header = self._no_header = no_header

    def write(self, rows: Iterable[Row]) -> None:
        """Write some rows.

        A later row that is wider widens its column from then on. The header is written again if there is a new column.
        """
        cells = [[_printable_cell(cell) for cell in row] for row in rows]
        if used := {index for index in self._hidden if any(row[index].text != EMPTY for row in cells)}:
            self._hidden -= used
            self._has_header = self._no_header
        for row in cells:
            for index, cell in enumerate(row):
                self._widths[index] = max(self._widths[index], width(cell.text))
                if cell.fraction is not None:
                    self._bars.add(index)
        bars = self._fit_bars()
        if not self._has_header:
            self._has_header = True
            self._write_row([Cell(name, "bold") for name in self._header], bars)
        for row in cells:
            self._write_row(row, bars)
        self._terminal.stream.flush()

    def _fit_bars(self) -> Mapping[int, int]:
        """Returns the width of the bar of each column; if not all bars fit, only the first columns get one."""
        if not self._terminal.is_terminal:
            return {}
        widths = [column for index, column in enumerate(self._widths) if index not in self._hidden]
        text_columns = sum(widths) + len(_GAP) * (len(widths) - 1)
        indexes = sorted(self._bars)
        for number in range(len(indexes), 0, -1):
            bar_columns = (self._terminal.columns - text_columns) // number - 1  # a space before each bar
            if bar_columns >= _MIN_BAR_COLUMNS:
                return dict.fromkeys(indexes[:number], min(bar_columns, _MAX_BAR_COLUMNS))
        return {}

    def _write_row(self, row: Sequence[Cell], bars: Mapping[int, int]) -> None:
        parts = []
        for index, (cell, column) in enumerate(zip(row, self._widths, strict=True)):
            if index in self._hidden:
                continue
            parts.append(self._terminal.styled(cell.text, cell.style) + " " * (column - width(cell.text)))
            if index in bars:
                bar = " " * bars[index] if cell.fraction is None else self._terminal.bar(cell.fraction, bars[index])
                parts[-1] += " " + self._terminal.styled(bar, cell.style if bar.strip() else "")
        self._terminal.write_line(_GAP.join(parts).rstrip())


def _printable_cell(cell: Cell | str) -> Cell:
    """Returns a cell without unprintable characters, which a uid may contain."""
    if isinstance(cell, str):
        cell = Cell(cell)
    return Cell(printable(cell.text), cell.style, cell.fraction)
