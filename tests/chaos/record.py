"""The record of a run: what was seen, asked, answered and done, a line each. The checker reads nothing else.

Times are seconds since 1970 by the clock of this machine, which is also the API server's. Revisions are those of the
cluster's store: they order the versions of all objects.
"""

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec


class Row(msgspec.Struct, frozen=True, tag=True, tag_field="row", omit_defaults=True):
    """A line of the record."""


R = TypeVar("R", bound=Row)


class Run(Row):
    """How it was done.

    Attributes:
        seed: what all that is random began with.
        rate: how many operations were begun in a second.
        recovery_seconds: how long healing may take.
        machine: on what it ran.
    """

    at: float
    seed: int
    rate: float
    recovery_seconds: float
    machine: str = ""


class Link(Row):
    """A version of a PodLink, or its end, as the store has it.

    Attributes:
        at: when the store told of it.
        revision: its resourceVersion, or that of its end.
        name: of the object.
        object: its unique id.
        key: the route and the uid that it binds.
        pod: the binding.
        status_pod: the pod that its status names.
        phase: of its status.
        reason: of its Ready condition.
        generation: of its spec.
        observed: the generation that its status was made for.
        previous: the pod that its status says it has left, and why.
        expires: when its time is over, in seconds since 1970; None for a persistent one.
        is_gone: it was deleted.
    """

    at: float
    revision: int
    name: str
    object: str = ""
    key: tuple[str, str] = ("", "")
    pod: int | None = None
    status_pod: int | None = None
    phase: str = ""
    reason: str = ""
    generation: int = 0
    observed: int = 0
    previous: tuple[int | None, str] | None = None
    expires: float | None = None
    is_gone: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether it is bound as its present spec asks."""
        return self.phase == "Bound" and self.observed == self.generation


class Route(Row):
    """A version of a StatefulRoute: what becomes of the links of lost pods."""

    at: float
    revision: int
    name: str
    action: str = "Rebind"
    grace_seconds: float = 30.0


class Pod(Row):
    """What became of a pod: `ready`, `unready`, `ending` (and no longer ready) or `absent`."""

    at: float
    revision: int
    name: str
    state: str
    node: str = ""


class Node(Row):
    """What became of a node."""

    at: float
    revision: int
    name: str
    is_ready: bool


class Workload(Row):
    """How many pods a StatefulSet is to have."""

    at: float
    revision: int
    name: str
    replicas: int


class Lease(Row):
    """A version of the operators' Lease."""

    at: float
    revision: int
    holder: str


class Definition(Row):
    """A CustomResourceDefinition came, or went."""

    at: float
    revision: int
    name: str
    is_defined: bool


class Gap(Row):
    """The recorder has missed what came before this revision."""

    at: float
    revision: int


class Process(Row):
    """A process of ours has this credential from now on.

    Attributes:
        name: of the process.
        start_number: which of its lives it is.
    """

    at: float
    name: str
    credential: str
    start_number: int


class Operation(Row):
    """What a client did.

    Attributes:
        started: when it was called.
        ended: when it was answered, or given up.
        client: who asked, and by what.
        name: of the operation.
        link: the name of the link.
        requested_pod: the pod that it was to be bound to, where the client says it.
        error: why it failed; empty for one that was acknowledged.
        answer: the pod that holds the uid, as it was told; None for none.
        has_pod: whether the answer says which pod holds the uid.
        age: how old the answer may be, in seconds, as it was told.
        writes: the versions of the link that were acknowledged, with the pod that each binds.
        deleted: the versions of it whose deletion was acknowledged.
    """

    started: float
    ended: float
    client: str
    name: str
    link: str
    requested_pod: int | None = None
    error: str = ""
    answer: int | None = None
    has_pod: bool = False
    age: float = 0.0
    writes: tuple[tuple[int, int | None], ...] = ()
    deleted: tuple[int, ...] = ()

    @property
    def can_remove(self) -> bool:
        """Whether it may have deleted the link."""
        return self.name.startswith("remove")


class Write(Row):
    """What an operator asked the API server to change, as its audit log has it.

    Attributes:
        received: when the API server had it.
        credential: of the process that asked.
        resource: with its subresource.
        name: of the object.
        code: of the answer.
    """

    received: float
    credential: str
    verb: str
    resource: str
    name: str
    code: int


class FaultPeriod(Row):
    """A fault: when it began, and when its cause was put right.

    Attributes:
        hits: how many requests and connections have met it; None where that is not counted.
    """

    started: float
    ended: float
    kind: str
    hits: int | None = None


class QuietPeriod(Row):
    """No fault is there, from the first time to the second; those of the numbers given have just ended.

    Attributes:
        fault_kinds: the kinds of the faults that have just ended.
    """

    started: float
    ended: float
    fault_kinds: tuple[str, ...] = ()


class LogMessage(Row):
    """Something else that is worth knowing."""

    at: float
    message: str
    fields: dict[str, str] = {}


AnyRow = (
    Run | Link | Route | Pod | Node | Workload | Lease | Definition | Gap | Process | Operation | Write | FaultPeriod
    | QuietPeriod | LogMessage
)  # fmt: skip

_decoder = msgspec.json.Decoder(AnyRow)


class Record:
    """The rows of a run, as they were written."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows: dict[type[Row], list[Row]] = {}
        for row in rows:
            self._rows.setdefault(type(row), []).append(row)

    @classmethod
    def read(cls, file: Path) -> "Record":
        """The record that is in a file."""
        with file.open("rb") as lines:
            return cls(map(_decoder.decode, lines))

    def all(self, kind: type[R]) -> list[R]:
        """The rows of a kind, in the order in which they were written."""
        return self._rows.get(kind, [])  # type: ignore[return-value]


class RecordWriter:
    """Writes a record; may be used from many threads.

    Args:
        file: where it goes.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._out = file.open("wb")
        self._lock = threading.Lock()

    def write(self, row: Row) -> None:
        """Add a row."""
        line = msgspec.json.encode(row) + b"\n"
        with self._lock:
            self._out.write(line)

    def log(self, message: str, **fields: object) -> None:
        """Add something else that is worth knowing."""
        self.write(LogMessage(time.time(), message, {name: str(value) for name, value in fields.items()}))

    def close(self) -> None:
        """End it; what comes later is an error."""
        with self._lock:
            self._out.close()
