"""The history of each link and the operations on it, from the record."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chaos.record import Definition, Link, Operation, Record

#: The maximum delay between a change and its row; the recorder has to reconnect after the store was killed.
LAG_SECONDS = 5.0

#: A request of a client that gave up may still be in a socket buffer, or in a suspended API server.
LATE_SECONDS = 60.0

LINKS = "podlinks.statefulroute.io"

#: The prefix of uids whose operations are not recorded.
HOSTILE_PREFIX = "hostile-"

_FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class State:
    """A state of a link between two times.

    Attributes:
        link: the version in force; None if there was none.
        started: when the version was recorded.
        ended: when the next version was recorded.
    """

    link: Link | None
    started: float
    ended: float


class LinkHistory:
    """The versions of links, and the operations on them.

    Args:
        record: the record of a run.
    """

    def __init__(self, record: Record) -> None:
        self.versions: dict[str, list[Link]] = defaultdict(list)
        for link in record.all(Link):
            self.versions[link.name].append(link)
        self.operations: dict[str, list[Operation]] = defaultdict(list)
        for operation in record.all(Operation):
            self.operations[operation.link].append(operation)
        self._definitions = [each for each in record.all(Definition) if each.name == LINKS]

    def at(self, name: str, revision: int) -> Link | None:
        """Returns the version of a link with this revision."""
        versions = self.versions.get(name, [])
        number = bisect_left(versions, revision, key=lambda each: each.revision)
        version = versions[number] if number < len(versions) else None
        return version if version is not None and version.revision == revision else None

    def after(self, version: Link) -> Link | None:
        """Returns the version after another."""
        versions = self.versions[version.name]
        number = bisect_left(versions, version.revision, key=lambda each: each.revision)
        return versions[number + 1] if number + 1 < len(versions) else None

    def states(self, name: str, started: float, ended: float) -> Iterator[State]:
        """Yields the possible states of a link between two times."""
        versions = self.versions.get(name, [])
        begins = [0.0, *(each.at for each in versions)]
        ends = [*(each.at for each in versions), _FOREVER]
        for link, since, until in zip([None, *versions], begins, ends, strict=True):
            if since - LAG_SECONDS <= ended and until >= started:
                yield State(None if link is None or link.is_gone else link, since, until)

    def operations_during(self, name: str, at: float) -> Sequence[Operation]:
        """Returns the operations that may have changed a link at a time."""
        return [
            each
            for each in self.operations.get(name, ())
            if each.started - LAG_SECONDS <= at <= each.ended + (LATE_SECONDS if each.error else LAG_SECONDS)
        ]

    def may_seem_expired(self, link: Link, at: float) -> bool:
        """Returns whether a client may have taken a link for expired at a time, with any clock."""
        return link.expires is not None and link.expires <= at + 1

    def is_defined(self, revision: int) -> bool:
        """Returns whether the CRD of links existed at this revision."""
        earlier = [each for each in self._definitions if each.revision <= revision]
        return not earlier or earlier[-1].is_defined
