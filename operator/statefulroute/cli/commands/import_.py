"""`import`: creates links from lines of JSON. Names are keys, so a second run creates only what is missing."""

import asyncio
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from statefulroute.cli.cluster import Cluster, CommandError
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.dry_run import DryRun
from statefulroute.cli.line_reader import MAX_LINE_BYTES, Line, read_lines
from statefulroute.cli.link_records import InvalidRecordError, LinkRecord, decode_record
from statefulroute.cli.options import DryRunOption
from statefulroute.cli.output.messages import print_change, print_message
from statefulroute.cli.output.terminal import ProgressBar
from statefulroute.cli.runner import ClusterOptions, run
from statefulroute.cluster.clock import utc_now
from statefulroute.cluster.errors import APIError
from statefulroute.domain.errors import DeadlineExceededError, LinkLimitReachedError, StatefulRouteError
from statefulroute.domain.operations import ImportResult, import_link

if TYPE_CHECKING:
    from statefulroute.cluster.link_store import LinkStore

#: The number of concurrent writers, and the length of the queue of each.
_WRITERS, _QUEUE_LENGTH = 24, 32

#: How long a write waits for an API server that does not answer.
_DEADLINE_SECONDS = 60.0

_EXPIRED, _REFUSED = "expired", "refused"

#: The status codes of errors that concern a single link. Others (the user, the namespace, overload) concern all.
_SINGLE_LINK_CODES = (400, 403, 409, 413, 422)
_ALL_LINKS_MESSAGES = (
    "cannot create resource",
    "cannot get resource",
    "cannot patch resource",
    "is being terminated",
)

#: Windows would change the ends of lines; elsewhere, there is no such mode.
_BINARY = getattr(os, "O_BINARY", 0)

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@cluster_command(writes_links=True)
def import_(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="The output of `export`; by default, or as -, the standard input."),
    ] = None,
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Change existing links to what the file has.")] = False,
    dry_run: DryRunOption = DryRun.NONE,
    cluster_options: ClusterOptions,
) -> None:
    """Create the links that `export` has written. An interrupted import continues when you run it again."""
    run(
        cluster_options,
        lambda cluster: import_links(cluster, file, overwrite=overwrite, dry_run=dry_run),
    )


async def import_links(cluster: Cluster, file: Path | None, *, overwrite: bool, dry_run: DryRun) -> int:
    """Create the links of a file or the standard input; returns the exit code, which is 1 if a line was refused.

    Raises:
        CommandError: the file cannot be read.
        APIError: no link can be written.
    """
    links = cluster.with_dry_run(dry_run).link_store(_DEADLINE_SECONDS)
    with _open(file) as descriptor:
        job = _Import(links, os.fstat(descriptor).st_size, overwrite=overwrite)
        try:
            await job.run(descriptor)
        except BaseException:
            job.progress.clear()
            print_message(f"stopped: {job}. Run it again: it continues where it stopped", err=True)
            raise
    job.progress.clear()
    print_change(f"{job}", dry_run=dry_run)
    return 1 if job.counts[_REFUSED] else 0


@contextmanager
def _open(file: Path | None) -> Iterator[int]:
    if file is None or str(file) == "-":
        yield sys.stdin.fileno()
        return
    try:
        descriptor = os.open(file, os.O_RDONLY | _BINARY)
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from error
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise CommandError(f"cannot read {file}: it is a directory, not a file of links")
        yield descriptor
    finally:
        os.close(descriptor)


class _Import:
    """A running import: one reader, and writers that each have a queue.

    Attributes:
        counts: the number of lines by result.
        progress: the progress bar.
    """

    def __init__(self, links: "LinkStore", size: int, *, overwrite: bool) -> None:
        self.counts: Counter[str] = Counter()
        self.progress = ProgressBar()
        self._links = links
        self._size = size
        self._overwrite = overwrite

    def __str__(self) -> str:
        always = (ImportResult.CREATED, ImportResult.KEPT)
        results = (*always, *(kind for kind in (ImportResult.OVERWRITTEN, _EXPIRED, _REFUSED) if self.counts[kind]))
        return ", ".join(f"{self.counts[kind]:,} {kind}" for kind in results)

    async def run(self, descriptor: int) -> None:
        """Import every line.

        Raises:
            APIError: no link can be written.
        """
        queues = [asyncio.Queue[tuple[int, LinkRecord] | None](_QUEUE_LENGTH) for _ in range(_WRITERS)]
        try:
            async with asyncio.TaskGroup() as tasks:
                for queue in queues:
                    tasks.create_task(self._write(queue))
                async for line in read_lines(descriptor):
                    record = self._decode(line)
                    if record is not None:
                        # Lines with the same user go to the same writer, and so keep their order.
                        queue = queues[hash((record.route, record.uid)) % _WRITERS]
                        await queue.put((line.number, record))
                    self._show_progress(line)
                for queue in queues:
                    await queue.put(None)
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    def _decode(self, line: Line) -> LinkRecord | None:
        """Returns the link of a line; None if there is nothing to create."""
        if line.text is None:
            self._refuse(line.number, f"is longer than {MAX_LINE_BYTES} bytes")
            return None
        text = line.text.removeprefix(_BYTE_ORDER_MARK) if line.number == 1 else line.text
        if not text.strip():
            return None
        try:
            record = decode_record(text)
        except InvalidRecordError as error:
            self._refuse(line.number, str(error))
            return None
        if record.has_expired(utc_now()):
            self.counts[_EXPIRED] += 1
            return None
        return record

    async def _write(self, queue: asyncio.Queue[tuple[int, LinkRecord] | None]) -> None:
        was_created = True
        while (item := await queue.get()) is not None:
            number, record = item
            operation = partial(import_link, binding=record.binding, overwrite=self._overwrite)
            try:
                # If the previous link did not exist, this one probably does not either.
                result = await self._links.execute(record.route, record.uid, operation, expect_absent=was_created)
            except (APIError, StatefulRouteError) as error:
                if not _concerns_single_link(error):
                    raise
                self._refuse(number, error.message if isinstance(error, APIError) else str(error))
            else:
                was_created = result is ImportResult.CREATED
                self.counts[result] += 1

    def _refuse(self, number: int, message: str) -> None:
        self.counts[_REFUSED] += 1
        self.progress.clear()
        print_message(f"line {number}: {message}", err=True)

    def _show_progress(self, line: Line) -> None:
        fraction = line.bytes_read / self._size if self._size else 0.0
        self.progress.show(fraction, f"line {line.number:,}: {self}")


def _concerns_single_link(error: APIError | StatefulRouteError) -> bool:
    """Returns whether an error concerns only this link, so that others can still be written."""
    if isinstance(error, StatefulRouteError):
        return not isinstance(error, DeadlineExceededError | LinkLimitReachedError)
    return error.status in _SINGLE_LINK_CODES and not any(text in error.message for text in _ALL_LINKS_MESSAGES)
