"""What happened in a run: every write at the store, every answer to a user, every fault, and the versions of links."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from support.link_recorder import Version


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened.

    Attributes:
        at: when, in monotonic seconds of this machine.
    """

    at: float


class Committed(Entry, tag=True):
    """The store has accepted a write.

    Attributes:
        uid: the user.
        pod: the index of the pod that has sent it.
        token: the token of the pod.
        number: the number of the write.
        digest: the digest of the state that it stores.
    """

    uid: str
    pod: int
    token: int
    number: int
    digest: str


class Refused(Entry, tag=True):
    """The store has refused a write, or to open a state, because of a greater token.

    Attributes:
        uid: the user.
        pod: the index of the pod.
        token: the token of the pod.
    """

    uid: str
    pod: int
    token: int


class Loaded(Entry, tag=True):
    """A pod has loaded the state of a user that has arrived.

    Attributes:
        uid: the user.
        pod: the index of the pod.
        number: the last write that the state contains.
        is_transferred: whether the state came from the previous pod, not from the store.
    """

    uid: str
    pod: int
    number: int
    is_transferred: bool


class Damaged(Entry, tag=True):
    """A state has not arrived as it was sent.

    Attributes:
        uid: the user.
        pod: the index of the pod.
        error: how it differs.
    """

    uid: str
    pod: int
    error: str


class Answered(Entry, tag=True):
    """A user's write was acknowledged.

    Attributes:
        uid: the user.
        pod: the index of the pod that has acknowledged it.
        number: the number of the write.
        digest: the digest of the state after it, by the pod.
        sent: when the user has sent it for the first time, in monotonic seconds.
    """

    uid: str
    pod: int
    number: int
    digest: str
    sent: float


class Fault(Entry, tag=True):
    """A fault that was made.

    Attributes:
        name: what was made, to what.
        ended: when it ended, in monotonic seconds.
    """

    name: str
    ended: float


OfUserEntry = Committed | Refused | Loaded | Damaged | Answered
AnyEntry = OfUserEntry | Fault

OfUser = TypeVar("OfUser", Committed, Refused, Loaded, Damaged, Answered)
Kind = TypeVar("Kind", bound=Entry)

_decoder = msgspec.json.Decoder(AnyEntry)


class Writer(Protocol):
    """Takes what happens."""

    def __call__(self, entry: AnyEntry) -> None:
        """Takes an entry."""


class FileWriter:
    """Appends entries to a file as lines. A process that is killed leaves whole lines.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def __call__(self, entry: AnyEntry) -> None:
        """Appends an entry."""
        os.write(self._file, msgspec.json.encode(entry) + b"\n")


def read_entries(paths: Iterable[Path]) -> list[AnyEntry]:
    """Returns the entries of files, in the order of their times."""
    lines = (line for path in paths for line in path.read_bytes().splitlines())
    return sorted(map(_decoder.decode, lines), key=lambda entry: entry.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The record of a run.

    Attributes:
        entries: what happened, in the order of the times.
        links: the versions of the link of each user, by the uid.
        held: the users that each pod has at the end, by the pods' own account.
        quiet_until: until when there were no faults on purpose, in monotonic seconds.
    """

    entries: Sequence[AnyEntry] = ()
    links: Mapping[str, Sequence[Version]] = field(default_factory=dict)
    held: Mapping[int, Sequence[str]] = field(default_factory=dict)
    quiet_until: float = 0.0

    def of_users(self, kind: type[OfUser]) -> dict[str, list[OfUser]]:
        """Returns the entries of a kind by their users."""
        entries: dict[str, list[OfUser]] = {}
        for entry in self.entries:
            if isinstance(entry, kind):
                entries.setdefault(entry.uid, []).append(entry)
        return entries

    def of(self, kind: type[Kind]) -> list[Kind]:
        """Returns the entries of a kind."""
        return [entry for entry in self.entries if isinstance(entry, kind)]
