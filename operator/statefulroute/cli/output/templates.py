"""Prints objects by the templates of users: JSONPath and custom columns, as kubectl does."""

from collections.abc import Sequence
from typing import Any

from statefulroute.cli.cluster import CommandError, Object
from statefulroute.cli.jsonpath import JSONPathError, as_go_text, as_json, as_text, find_results, find_values
from statefulroute.cli.output.formats import Output, OutputFormat
from statefulroute.cli.output.messages import printable
from statefulroute.cli.output.table import Table
from statefulroute.cli.output.terminal import Terminal

#: The minimum width of a column of kubectl, without the gap.
_MIN_WIDTH = 3

_NO_VALUE = "<none>"


def print_template(terminal: Terminal, output_format: OutputFormat, value: Any) -> None:  # noqa: ANN401 - any value of JSON
    """Print a value by a template of JSONPath.

    Raises:
        CommandError: the template cannot be evaluated on this value.
    """
    as_output = as_json if output_format.output is Output.JSONPATH_AS_JSON else as_text
    try:
        text = as_output(find_results(output_format.template, value))
    except JSONPathError as error:
        raise CommandError(f"error executing jsonpath {output_format.text!r}: {error}") from error
    terminal.write(printable(text, keep="\n\t") if terminal.is_terminal else text)
    terminal.stream.flush()


class TemplateWriter:
    """Prints objects by a template of JSONPath.

    Args:
        terminal: where to print them.
        output_format: the format with the template.
        as_list: whether to print one list of all objects, when `close` is called; else the objects one by one.
    """

    def __init__(self, terminal: Terminal, output_format: OutputFormat, *, as_list: bool = True) -> None:
        self._terminal = terminal
        self._format = output_format
        self._as_list = as_list
        self._items: list[Object] = []

    def write(self, items: Sequence[Object], *, gone: bool = False) -> None:
        """Print some objects. Raises as `print_template` does."""
        del gone
        if self._as_list:
            self._items += items
            return
        for item in items:
            print_template(self._terminal, self._format, item)

    def close(self) -> None:
        """Print the list. Raises as `print_template` does."""
        if self._as_list:
            items = {"apiVersion": "v1", "items": self._items, "kind": "List", "metadata": {"resourceVersion": ""}}
            print_template(self._terminal, self._format, items)


class CustomColumnsWriter:
    """Prints objects as rows with the columns of the user.

    Args:
        terminal: where to print them.
        output_format: the format with the columns.
        no_headers: whether to omit the header line.
    """

    def __init__(self, terminal: Terminal, output_format: OutputFormat, *, no_headers: bool) -> None:
        self._columns = output_format.columns
        headers = [column.header for column in self._columns]
        self._table = Table(terminal, headers, no_header=no_headers, widths=[_MIN_WIDTH] * len(headers))

    def write(self, items: Sequence[Object], *, gone: bool = False) -> None:
        """Print some objects.

        Raises:
            CommandError: the path of a column cannot be evaluated on an object.
        """
        del gone
        try:
            rows = [[_cell(find_values(column.path, item)) for column in self._columns] for item in items]
        except JSONPathError as error:
            raise CommandError(f"error executing jsonpath of a custom column: {error}") from error
        self._table.write(rows)

    def close(self) -> None:
        """Print the header if there was no object."""
        self._table.write([])


def _cell(values: Sequence[Any]) -> str:
    return ",".join(map(as_go_text, values)) if values else _NO_VALUE
