"""Prints lists as kubectl does: page by page, as a table or as objects, and then every change."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from statefulroute.api.group import Kind
from statefulroute.cli.cluster import Cluster, Object
from statefulroute.cli.output.formats import TABLE, Output, OutputFormat
from statefulroute.cli.output.messages import print_message
from statefulroute.cli.output.objects import ObjectWriter
from statefulroute.cli.output.table import Cell, Row, Table
from statefulroute.cli.output.terminal import Terminal
from statefulroute.cluster.clock import utc_now

T = TypeVar("T")

#: The state of an object that a watch reports as deleted, or as no longer selected.
GONE = "Gone"


@dataclass(frozen=True, slots=True)
class ListOptions:
    """How to print a list.

    Attributes:
        output: the format.
        watch: whether to continue with every change.
        no_headers: whether to omit the header line.
        sort_by: the path by which to sort the list; None keeps the order of the API server.
    """

    output: OutputFormat = TABLE
    watch: bool = False
    no_headers: bool = False
    sort_by: str | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a kind.

    Attributes:
        names: the columns that are always shown.
        wide: the additional columns of `-o wide`.
        state: the index of the column with the state of an object.
        row: returns the cells of an object, those of the wide and then of the optional columns last.
        optional: the last columns, which are shown only from the first row on in which they have a value.
    """

    names: tuple[str, ...]
    wide: tuple[str, ...]
    state: int
    row: Callable[[Object, datetime], Row]
    optional: tuple[str, ...] = ()


class ListWriter(Protocol):
    """Writes objects in an output format."""

    def write(self, items: Sequence[Object], *, gone: bool = False) -> None:
        """Write some objects, which may be gone."""

    def close(self) -> None:
        """Write what belongs at the end of the list."""


class TableWriter:
    """Writes objects as rows of a table.

    Args:
        terminal: where to write them.
        columns: the columns.
        options: how to print the list.
        has_namespaces: whether the first column is the namespace.
    """

    def __init__(self, terminal: Terminal, columns: Columns, options: ListOptions, *, has_namespaces: bool) -> None:
        self._columns = columns
        self._hidden_wide = 0 if options.output.is_wide else len(columns.wide)
        self._has_namespaces = has_namespaces
        header = [*columns.names, *(columns.wide if options.output.is_wide else ()), *columns.optional]
        namespace = ["NAMESPACE"] if has_namespaces else []
        optional = len(columns.optional)
        self._table = Table(terminal, namespace + header, no_header=options.no_headers, optional=optional)

    def write(self, items: Sequence[Object], *, gone: bool = False) -> None:
        """Write some objects, with the state `Gone` if they are gone."""
        now = utc_now()
        self._table.write([self._row(item, now, gone=gone) for item in items])

    def close(self) -> None:
        """End the table: a no-op."""

    def _row(self, item: Object, now: datetime, *, gone: bool) -> Row:
        row = list(self._columns.row(item, now))
        names = len(self._columns.names)
        del row[names : names + self._hidden_wide]
        if gone:
            row[self._columns.state] = GONE
            row = [Cell(cell if isinstance(cell, str) else cell.text, "dim") for cell in row]
        return [item["metadata"]["namespace"], *row] if self._has_namespaces else row


class DocumentWriter:
    """Writes objects as documents.

    Args:
        terminal: where to write them.
        options: how to print the list.
        single: whether the user named one object, which is then not printed as a list.
    """

    def __init__(self, terminal: Terminal, options: ListOptions, *, single: bool = False) -> None:
        self._objects = ObjectWriter(terminal, options.output.output, as_list=not (options.watch or single))

    def write(self, items: Sequence[Object], *, gone: bool = False) -> None:
        """Write some objects; if they are gone, their last versions."""
        del gone
        self._objects.write(items)

    def close(self) -> None:
        """End the list."""
        self._objects.close()


def list_writer(
    cluster: Cluster, terminal: Terminal, columns: Columns, options: ListOptions, *, single: bool = False
) -> ListWriter:
    """Returns the writer for the output format."""
    if options.output.is_table:
        return TableWriter(terminal, columns, options, has_namespaces=cluster.namespace is None)
    return document_writer(terminal, options, single=single)


def document_writer(terminal: Terminal, options: ListOptions, *, single: bool = False) -> ListWriter:
    """Returns the writer for an output format that is not a table of the command.

    Args:
        terminal: where to write the objects.
        options: how to print the list.
        single: whether the user named one object, which is then not printed as a list.
    """
    if options.output.output in {Output.JSON, Output.YAML, Output.NAME}:
        return DocumentWriter(terminal, options, single=single)
    # Parsing templates is not needed for other outputs.
    from statefulroute.cli.output.templates import CustomColumnsWriter, TemplateWriter  # noqa: PLC0415

    if options.output.output is Output.CUSTOM_COLUMNS:
        return CustomColumnsWriter(terminal, options.output, no_headers=options.no_headers)
    return TemplateWriter(terminal, options.output, as_list=not (options.watch or single))


def print_template(terminal: Terminal, output_format: OutputFormat, value: object) -> None:
    """Print a value by a template of JSONPath.

    Raises:
        CommandError: the template cannot be evaluated on this value.
    """
    from statefulroute.cli.output import templates  # noqa: PLC0415 - as above

    templates.print_template(terminal, output_format, value)


def sort(items: Sequence[Object], options: ListOptions) -> Sequence[Object]:
    """Returns objects in the order that the user wants.

    Raises:
        CommandError: they cannot be sorted.
    """
    if options.sort_by is None:
        return items
    from statefulroute.cli.output.sorting import sort_items  # noqa: PLC0415 - as above

    if options.watch:
        print_message("warning: --watch requested, --sort-by will be ignored for watch events received", err=True)
    return sort_items(items, options.sort_by)


async def show_all(
    cluster: Cluster,
    kind: Kind,
    selections: Sequence[Mapping[str, str]],
    options: ListOptions,
    writer: ListWriter,
) -> int:
    """Write all selected objects, and with a watch every change; returns the number of objects.

    Args:
        cluster: where to read them.
        kind: their kind.
        selections: the query parameters of the requests, no two of which select the same object.
        options: how to print the list.
        writer: writes them.
    """
    path, count = cluster.path(kind), 0
    watches, unsorted = [], list[Object]()
    for selection in selections:
        first_version = ""
        async for page, resource_version in cluster.pages(path, selection):
            first_version = first_version or resource_version
            count += len(page)
            if options.sort_by is not None:
                unsorted += page
            elif page:
                writer.write(page)
        watches.append(cluster.watch(path, first_version, selection))
    if unsorted:
        writer.write(sort(unsorted, options))
    if options.watch:
        async for change, item in merge(*watches):
            writer.write([item], gone=change == "DELETED")
    writer.close()
    return count


def print_empty(cluster: Cluster, what: str, options: ListOptions, *, message: str = "") -> None:
    """Print on the standard error that a list is empty; a program gets an empty list."""
    if options.output.is_table and not options.watch:
        namespace = "" if cluster.namespace is None else f" in {cluster.namespace} namespace"
        print_message(f"No {what} found{namespace}{': ' + message if message else ''}.", err=True)


def field_selector(**fields: str) -> Mapping[str, str]:
    """Returns the query parameter that selects objects by fields; in their names, `__` stands for a dot.

    Characters in a value that have a meaning in a selector are escaped.
    """
    escapes = str.maketrans({"\\": "\\\\", ",": "\\,", "=": "\\="})
    terms = [f"{name.replace('__', '.')}={value.translate(escapes)}" for name, value in fields.items()]
    return {"fieldSelector": ",".join(terms)} if terms else {}


def label_selector(selector: str | None) -> Mapping[str, str]:
    """Returns the query parameter that selects objects by labels; None selects all."""
    return {} if selector is None else {"labelSelector": selector}


async def merge(*sources: AsyncIterator[T]) -> AsyncIterator[T]:
    """Yields the items of several sources as they arrive; an error of one source ends all."""
    queue: asyncio.Queue[T | Exception] = asyncio.Queue(maxsize=1)

    async def forward(source: AsyncIterator[T]) -> None:
        try:
            async for item in source:
                await queue.put(item)
        except Exception as error:  # noqa: BLE001 - it is raised by the consumer
            await queue.put(error)

    tasks = [asyncio.create_task(forward(source)) for source in sources]
    try:
        while True:
            item = await queue.get()
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
