"""Prints pods of a route, which are no objects of their own but parts of its status, as documents."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from statefulroute.cli.output.formats import Output
from statefulroute.cli.output.listing import ListOptions, document_writer, print_template
from statefulroute.cli.output.terminal import Terminal

#: A pod in the status of a route, as the API server returns it, or some of its fields.
PodObject = dict[str, Any]


def pod_document_writer(terminal: Terminal, options: ListOptions) -> Callable[[Sequence[PodObject]], None]:
    """Returns what writes some pods in an output format that is not a table of the command.

    They are written as one list, and in a watch as one document each.
    """
    if options.output.output is Output.CUSTOM_COLUMNS:
        return document_writer(terminal, options).write
    return _DocumentWriter(terminal, options)


class _DocumentWriter:
    """Writes pods as they are in the status."""

    def __init__(self, terminal: Terminal, options: ListOptions) -> None:
        self._terminal = terminal
        self._options = options

    def __call__(self, pods: Sequence[PodObject]) -> None:
        documents: Sequence[Any] = pods if self._options.watch else [list(pods)]
        match self._options.output.output:
            case Output.NAME:
                for pod in pods:
                    self._terminal.write_line(f"pod/{pod['name']}")
            case Output.JSON:
                for document in documents:
                    self._terminal.write_line(msgspec.json.format(msgspec.json.encode(document), indent=4).decode())
            case Output.JSONPATH | Output.JSONPATH_AS_JSON:
                for document in documents:
                    print_template(self._terminal, self._options.output, document)
            case _:
                separator = "---\n" if self._options.watch else ""
                for document in documents:
                    self._terminal.write(separator + msgspec.yaml.encode(document).decode())
        self._terminal.stream.flush()
