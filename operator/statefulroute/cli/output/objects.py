"""Prints objects as JSON, YAML or names, as kubectl does."""

from collections.abc import Iterable
from typing import Any

import msgspec

from statefulroute.cli.objects import full_name
from statefulroute.cli.output.formats import Output
from statefulroute.cli.output.terminal import Terminal

_LIST_START = '{\n    "apiVersion": "v1",\n    "kind": "List",\n    "items": ['


class ObjectWriter:
    """Writes objects as they arrive, as JSON, YAML or names.

    Args:
        terminal: where to write them.
        output: the format.
        as_list: whether to write one list, which `close` ends; else each object is a document.
    """

    def __init__(self, terminal: Terminal, output: Output, *, as_list: bool = True) -> None:
        self._terminal = terminal
        self._output = output
        self._as_list = as_list
        self._count = 0

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
            self._count += 1
        self._terminal.stream.flush()

    def close(self) -> None:
        """Write the end of the list."""
        if self._output is Output.JSON and self._as_list:
            self._terminal.write_line(("" if self._count else _LIST_START) + "\n    ]\n}")
        elif self._output is Output.YAML and self._as_list and not self._count:
            self._terminal.write_line("apiVersion: v1\nkind: List\nitems: []")

    def _write_json(self, text: str) -> None:
        if not self._as_list:
            self._terminal.write_line(text)
            return
        separator = ",\n" if self._count else _LIST_START + "\n"
        self._terminal.write(separator + "\n".join("        " + line for line in text.split("\n")))

    def _write_yaml(self, text: str) -> None:
        if not self._as_list:
            self._terminal.write(("---\n" if self._count else "") + text)
            return
        head = "" if self._count else "apiVersion: v1\nkind: List\nitems:\n"
        first, *rest = text.rstrip("\n").split("\n")
        # An empty line is part of a multi-line string, and stays empty.
        self._terminal.write_line(head + "\n".join(["- " + first, *("  " + line if line else "" for line in rest)]))
