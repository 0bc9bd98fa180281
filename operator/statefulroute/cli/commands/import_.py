"""`import`: lines of JSON as links. Names are keys, so that a second run makes what the first has not."""

import asyncio
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from statefulroute.cli.cluster import Cluster, CommandError
from statefulroute.cli.line_reader import MAX_LINE_BYTES, Line, read_lines
from statefulroute.cli.link_records import InvalidRecordError, LinkRecord, decode_record
from statefulroute.cli.objects import with_dry_run
from statefulroute.cli.output.messages import print_message
from statefulroute.cli.output.progress import ProgressBar
from statefulroute.cluster.clock import utc_now
from statefulroute.cluster.errors import APIError
from statefulroute.cluster.link_store import LinkStore
from statefulroute.domain.errors import DeadlineExceededError, StatefulRouteError
from statefulroute.domain.operations import ImportResult, import_link

#: Links that are written at the same time, and lines that wait for each writer.
_WRITERS, _WAITING = 24, 32

#: The API server may be away for so long.
_DEADLINE_SECONDS = 60.0

_EXPIRED, _REFUSED = "expired", "refused"

#: Refusals that are about one object. Others (of the user, the namespace, the API server's load) are about all.
_ABOUT_ONE = (400, 403, 409, 413, 422)
_FORBIDS_ALL = ("cannot create resource", "cannot get resource", "cannot patch resource", "is being terminated")

_MARK = b"\xef\xbb\xbf"


async def import_links(cluster: Cluster, file: Path | None, *, overwrite: bool, dry_run: bool) -> int:
    """Make the links of a file, or of the standard input; gives the exit code: 1 where a line was refused."""
    links = LinkStore(
        with_dry_run(cluster, dry_run=dry_run).client, cluster.one_namespace(), deadline_seconds=_DEADLINE_SECONDS
    )
    with _opened(file) as descriptor:
        intake = _Import(links, os.fstat(descriptor).st_size, overwrite=overwrite)
        try:
            await intake.carry_out(descriptor)
        except BaseException:
            intake.progress.clear()
            print_message(f"stopped: {intake}. Run it again: it goes on where it was", err=True)
            raise
    intake.progress.clear()
    print_message(f"{intake}{' (server dry run)' if dry_run else ''}")
    return 1 if intake.counts[_REFUSED] else 0


@contextmanager
def _opened(file: Path | None) -> Iterator[int]:
    if file is None or str(file) == "-":
        yield sys.stdin.fileno()
        return
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from error
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise CommandError(f"cannot read {file}: it is a directory, and not a file of links")
        yield descriptor
    finally:
        os.close(descriptor)


class _Import:
    """An import under way: one reader, and some writers that each have a queue."""

    def __init__(self, links: LinkStore, size: int, *, overwrite: bool) -> None:
        self.counts: Counter[str] = Counter()
        self.progress = ProgressBar()
        self._links = links
        self._size = size
        self._overwrite = overwrite

    def __str__(self) -> str:
        always = (ImportResult.CREATED, ImportResult.KEPT)
        counted = (*always, *(kind for kind in (ImportResult.OVERWRITTEN, _EXPIRED, _REFUSED) if self.counts[kind]))
        return ", ".join(f"{self.counts[kind]:,} {kind}" for kind in counted)

    async def carry_out(self, descriptor: int) -> None:
        """Take in every line."""
        queues = [asyncio.Queue[tuple[int, LinkRecord] | None](_WAITING) for _ in range(_WRITERS)]
        try:
            async with asyncio.TaskGroup() as group:
                for queue in queues:
                    group.create_task(self._write(queue))
                async for line in read_lines(descriptor):
                    link = self._read(line)
                    if link is not None:
                        # Of two lines about the same user, the first one is the first: they have the same writer.
                        await queues[hash((link.route, link.uid)) % _WRITERS].put((line.number, link))
                    self._show(line)
                for queue in queues:
                    await queue.put(None)
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    def _read(self, line: Line) -> LinkRecord | None:
        """The link of a line; None where there is nothing to be made."""
        if line.text is None:
            self._refuse(line.number, f"is longer than {MAX_LINE_BYTES} bytes")
            return None
        text = line.text.removeprefix(_MARK) if line.number == 1 else line.text
        if not text.strip():
            return None
        try:
            link = decode_record(text)
        except InvalidRecordError as error:
            self._refuse(line.number, str(error))
            return None
        if link.has_expired(utc_now()):
            self.counts[_EXPIRED] += 1
            return None
        return link

    async def _write(self, queue: asyncio.Queue[tuple[int, LinkRecord] | None]) -> None:
        is_new = True
        while (waiting := await queue.get()) is not None:
            number, link = waiting
            rule = partial(import_link, binding=link.binding, overwrite=self._overwrite)
            try:
                # Where the link before this one was not there, this one will hardly be.
                answer = await self._links.execute(link.route, link.uid, rule, expect_absent=is_new)
            except (APIError, StatefulRouteError) as error:
                if not _is_about_one(error):
                    raise
                self._refuse(number, error.message if isinstance(error, APIError) else str(error))
            else:
                is_new = answer is ImportResult.CREATED
                self.counts[answer] += 1

    def _refuse(self, number: int, why: str) -> None:
        self.counts[_REFUSED] += 1
        self.progress.clear()
        print_message(f"line {number}: {why}", err=True)

    def _show(self, line: Line) -> None:
        self.progress.show(line.bytes_read / self._size if self._size else 0.0, f"line {line.number:,}: {self}")


def _is_about_one(error: APIError | StatefulRouteError) -> bool:
    """Whether a refusal is about this link, and another may be taken."""
    if isinstance(error, StatefulRouteError):
        return not isinstance(error, DeadlineExceededError)
    return error.status in _ABOUT_ONE and not any(words in error.message for words in _FORBIDS_ALL)
