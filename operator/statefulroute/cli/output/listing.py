"""Prints lists as kubectl does: page by page, as a table or as objects, and then every change."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from statefulroute.api.group import Kind
from statefulroute.cli.cluster import Cluster, Object
from statefulroute.cli.options import Output
from statefulroute.cli.output.messages import print_message
from statefulroute.cli.output.objects import ObjectWriter
from statefulroute.cli.output.table import Cell, Row, Table
from statefulroute.cli.output.terminal import Terminal
from statefulroute.cluster.clock import utc_now

T = TypeVar("T")

_TABLES = (Output.TABLE, Output.WIDE)

#: The state of an object that a watch reports as deleted, or as no longer selected.
GONE = "Gone"


@dataclass(frozen=True, slots=True)
class ListOptions:
    """How to print a list.

    Attributes:
        output: the format.
        watch: whether to continue with every change.
        no_headers: whether to omit the header line.
    """

    output: Output = Output.TABLE
    watch: bool = False
    no_headers: bool = False

    @property
    def is_table(self) -> bool:
        """Whether the format is a table."""
        return self.output in _TABLES

    @property
    def is_wide(self) -> bool:
        """Whether the table has all its columns."""
        return self.output is Output.WIDE


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a kind.

    Attributes:
        names: the columns that are always shown.
        wide: the additional columns of `-o wide`.
        state: the index of the column with the state of an object.
        row: returns the cells of an object, those of the wide columns last.
    """

    names: tuple[str, ...]
    wide: tuple[str, ...]
    state: int
    row: Callable[[Object, datetime], Row]


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
        self._shown = len(columns.names) + (len(columns.wide) if options.is_wide else 0)
        self._has_namespaces = has_namespaces
        header = [*columns.names, *columns.wide][: self._shown]
        namespace = ["NAMESPACE"] if has_namespaces else []
        self._table = Table(terminal, namespace + header, no_header=options.no_headers)

    def write(self, items: Sequence[Object], *, gone: bool = False) -> None:
        """Write some objects, with the state `Gone` if they are gone."""
        now = utc_now()
        self._table.write([self._row(item, now, gone=gone) for item in items])

    def close(self) -> None:
        """End the table: a no-op."""

    def _row(self, item: Object, now: datetime, *, gone: bool) -> Row:
        row = list(self._columns.row(item, now))[: self._shown]
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
        self._objects = ObjectWriter(terminal, options.output, as_list=not (options.watch or single))

    def write(self, items: Sequence[Object], *, gone: bool = False) -> None:
        """Write some objects; if they are gone, their last versions."""
        del gone
        self._objects.write(items)

    def close(self) -> None:
        """End the list."""
        self._objects.close()


def list_writer(
    cluster: Cluster, terminal: Terminal, columns: Columns, options: ListOptions, *, single: bool = False
) -> TableWriter | DocumentWriter:
    """Returns the writer for the output format."""
    if options.is_table:
        return TableWriter(terminal, columns, options, has_namespaces=cluster.namespace is None)
    return DocumentWriter(terminal, options, single=single)


async def show_all(
    cluster: Cluster,
    kind: Kind,
    selections: Sequence[Mapping[str, str]],
    options: ListOptions,
    writer: TableWriter | DocumentWriter,
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
    watches = []
    for selection in selections:
        first_version = ""
        async for page, resource_version in cluster.pages(path, selection):
            first_version = first_version or resource_version
            count += len(page)
            if page:
                writer.write(page)
        watches.append(cluster.watch(path, first_version, selection))
    if options.watch:
        async for change, item in merge(*watches):
            writer.write([item], gone=change == "DELETED")
    writer.close()
    return count


def print_empty(cluster: Cluster, what: str, options: ListOptions, *, message: str = "") -> None:
    """Print on the standard error that a list is empty; a program gets an empty list."""
    if options.is_table and not options.watch:
        namespace = "" if cluster.namespace is None else f" in {cluster.namespace} namespace"
        print_message(f"No {what} found{namespace}{': ' + message if message else ''}.", err=True)


def field_selector(**fields: str) -> Mapping[str, str]:
    """Returns the query parameter that selects objects by fields; in their names, `__` stands for a dot.

    Characters in a value that have a meaning in a selector are escaped.
    """
    escapes = str.maketrans({"\\": "\\\\", ",": "\\,", "=": "\\="})
    terms = [f"{name.replace('__', '.')}={value.translate(escapes)}" for name, value in fields.items()]
    return {"fieldSelector": ",".join(terms)} if terms else {}


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
