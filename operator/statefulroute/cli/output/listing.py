"""Lists as kubectl gives them: page by page as a table or as objects, and then every change."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from statefulroute.api.group import Kind
from statefulroute.cli.cluster import Cluster, Object
from statefulroute.cli.command_options import Output
from statefulroute.cli.output.messages import print_message
from statefulroute.cli.output.table import Cell, ObjectWriter, Row, Table, Terminal
from statefulroute.cluster.clock import utc_now

T = TypeVar("T")

_AS_TABLE = (Output.TABLE, Output.WIDE)

#: What a watch says of an object that is no more, or is no more among those that were asked for.
GONE = "Gone"


@dataclass(frozen=True, slots=True)
class ListOptions:
    """How somebody wants to see a list.

    Attributes:
        output: as what.
        watch: whether to go on with every change.
        no_headers: whether to leave out the line with the columns' names.
    """

    output: Output = Output.TABLE
    watch: bool = False
    no_headers: bool = False

    @property
    def is_table(self) -> bool:
        """Whether it is a table."""
        return self.output in _AS_TABLE

    @property
    def is_wide(self) -> bool:
        """Whether the table has all its columns."""
        return self.output is Output.WIDE


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a kind.

    Attributes:
        names: those that are always shown.
        wide: those that are shown besides with `-o wide`.
        state: which one says how an object stands.
        row: the cells of an object, the wide ones last.
    """

    names: tuple[str, ...]
    wide: tuple[str, ...]
    state: int
    row: Callable[[Object, datetime], Row]


class TableWriter:
    """Objects as rows of a table.

    Args:
        terminal: where to.
        columns: the columns.
        view: how it is wanted.
        has_namespaces: whether there is a column of namespaces before all others.
    """

    def __init__(self, terminal: Terminal, columns: Columns, view: ListOptions, *, has_namespaces: bool) -> None:
        self._columns = columns
        self._shown = len(columns.names) + (len(columns.wide) if view.is_wide else 0)
        self._has_namespaces = has_namespaces
        header = [*columns.names, *columns.wide][: self._shown]
        before = ["NAMESPACE"] if has_namespaces else []
        self._table = Table(terminal, before + header, no_header=view.no_headers)

    def write(self, items: Sequence[Object], *, gone: bool = False) -> None:
        """Write some objects."""
        now = utc_now()
        self._table.write([self._row(item, now, gone=gone) for item in items])

    def close(self) -> None:
        """Write what follows the last one: nothing."""

    def _row(self, item: Object, now: datetime, *, gone: bool) -> Row:
        row = list(self._columns.row(item, now))[: self._shown]
        if gone:
            row[self._columns.state] = GONE
            row = [Cell(cell if isinstance(cell, str) else cell.text, "dim") for cell in row]
        return [item["metadata"]["namespace"], *row] if self._has_namespaces else row


class DocumentWriter:
    """Objects as they are.

    Args:
        terminal: where to.
        view: how they are wanted.
        single: one object is asked for, and it is no list.
    """

    def __init__(self, terminal: Terminal, view: ListOptions, *, single: bool = False) -> None:
        self._objects = ObjectWriter(terminal, view.output, as_list=not (view.watch or single))

    def write(self, items: Sequence[Object], *, gone: bool = False) -> None:
        """Write some objects; of one that is gone, its last version."""
        del gone
        self._objects.write(items)

    def close(self) -> None:
        """Write what follows the last one."""
        self._objects.close()


def list_writer(
    cluster: Cluster, terminal: Terminal, columns: Columns, view: ListOptions, *, single: bool = False
) -> TableWriter | DocumentWriter:
    """What writes objects of a kind as somebody wants to see them."""
    if view.is_table:
        return TableWriter(terminal, columns, view, has_namespaces=cluster.namespace is None)
    return DocumentWriter(terminal, view, single=single)


async def show_all(
    cluster: Cluster,
    kind: Kind,
    selections: Sequence[Mapping[str, str]],
    view: ListOptions,
    sheet: TableWriter | DocumentWriter,
) -> int:
    """Write all objects that are selected, and with a watch every change; gives how many there were.

    Args:
        cluster: where.
        kind: which kind.
        selections: the parameters of as many requests, no two of which select the same object.
        view: how they are wanted.
        sheet: what writes them.
    """
    path, found = cluster.path(kind), 0
    watches = []
    for selection in selections:
        moment = ""
        async for page, version in cluster.pages(path, selection):
            moment = moment or version
            found += len(page)
            if page:
                sheet.write(page)
        watches.append(cluster.watch(path, moment, selection))
    if view.watch:
        async for change, item in merge(*watches):
            sheet.write([item], gone=change == "DELETED")
    sheet.close()
    return found


def print_empty(cluster: Cluster, what: str, view: ListOptions, *, message: str = "") -> None:
    """Tell people that there are none, where it does not get into a pipe; a program sees an empty list."""
    if view.is_table and not view.watch:
        print_message(f"No {what} found{cluster.namespace_suffix}{': ' + message if message else ''}.", err=True)


def field_selector(**fields: str) -> Mapping[str, str]:
    """The parameter that selects objects by fields, whose names have `__` for a dot.

    A value may hold any sign: those that have a meaning in a selector are escaped.
    """
    escape = str.maketrans({"\\": "\\\\", ",": "\\,", "=": "\\="})
    terms = [f"{name.replace('__', '.')}={value.translate(escape)}" for name, value in fields.items()]
    return {"fieldSelector": ",".join(terms)} if terms else {}


async def merge(*sources: AsyncIterator[T]) -> AsyncIterator[T]:
    """What several sources give, as it comes; an error of one ends them all."""
    queue: asyncio.Queue[T | Exception] = asyncio.Queue(maxsize=1)

    async def pump(source: AsyncIterator[T]) -> None:
        try:
            async for item in source:
                await queue.put(item)
        except Exception as error:  # noqa: BLE001 - it is raised where the items are awaited
            await queue.put(error)

    tasks = [asyncio.create_task(pump(source)) for source in sources]
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
