"""The record of a run: observations, operations and actions, one JSON object per line. The checker reads nothing else.

Times are seconds since 1970 by the clock of this machine, which the API server uses, too. Revisions are those of the
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

#: The key of a slot's link has this and the number of the slot in place of a uid.
SLOT_KEY = "slot-"


class Run(Row):
    """The settings of the run.

    Attributes:
        seed: the random seed.
        rate: the operations per second.
        recovery_seconds: the maximum time of a recovery.
        machine: the description of the machine.
    """

    at: float
    seed: int
    rate: float
    recovery_seconds: float
    machine: str = ""


class Link(Row):
    """A version of a PodLink in the store, or its deletion.

    Attributes:
        at: when the store reported it.
        revision: its resourceVersion, or that of its deletion.
        name: the name of the object.
        object: the uid of the object.
        key: the route and the uid of the user, or `slot-` and the number of the slot.
        slot: the number of the slot; None for the link of a user.
        owner: the name of the route that owns it; empty if none does.
        pod: the pod of the spec.
        status_pod: the pod of the status.
        phase: the phase of the status.
        reason: the reason of the Ready condition.
        generation: the generation of the spec.
        observed: the observed generation of the status.
        previous: the previous pod in the status, and the reason of the move.
        expires: when it expires, in seconds since 1970; None for a persistent link.
        hand_over: the pod that the user is handed over to, and the start time of that; None if the spec asks for none.
        is_gone: whether it was deleted.
    """

    at: float
    revision: int
    name: str
    object: str = ""
    key: tuple[str, str] = ("", "")
    slot: int | None = None
    owner: str = ""
    pod: int | None = None
    status_pod: int | None = None
    phase: str = ""
    reason: str = ""
    generation: int = 0
    observed: int = 0
    previous: tuple[int | None, str] | None = None
    expires: float | None = None
    hand_over: tuple[int | None, str] | None = None
    is_gone: bool = False

    @property
    def is_bound(self) -> bool:
        """Whether its status states that it is bound, also while the user is handed over."""
        return self.phase in {"Bound", "HandingOver"}

    @property
    def is_settled(self) -> bool:
        """Whether it is bound for its present spec."""
        return self.is_bound and self.observed == self.generation


class Route(Row):
    """A version of a StatefulRoute: the policy for links of lost pods, and for hand-overs.

    Attributes:
        hand_over_seconds: how long a pod may take to hand a user over; None if links move at once.
        shut_down: the indexes of the pods that are shut down.
        denied: the indexes of the pods that take no new users, so that they lose their slots.
        slots: the number of slots; None for none.
    """

    at: float
    revision: int
    name: str
    action: str = "Rebind"
    grace_seconds: float = 30.0
    not_ready_seconds: float = 300.0
    hand_over_seconds: float | None = None
    shut_down: tuple[int, ...] = ()
    denied: tuple[int, ...] = ()
    slots: int | None = None


class Pod(Row):
    """A change of a pod: `ready`, `unready`, `ending` (and no longer ready) or `absent`."""

    at: float
    revision: int
    name: str
    state: str
    node: str = ""


class Node(Row):
    """A change of a node."""

    at: float
    revision: int
    name: str
    is_ready: bool


class Workload(Row):
    """The replicas of a StatefulSet."""

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
    """The creation or deletion of a CustomResourceDefinition."""

    at: float
    revision: int
    name: str
    is_defined: bool


class Gap(Row):
    """The recorder missed the changes before this revision."""

    at: float
    revision: int


class Process(Row):
    """A process of the product has this credential from now on.

    Attributes:
        name: the name of the process.
        start_number: the number of its start.
    """

    at: float
    name: str
    credential: str
    start_number: int


class Operation(Row):
    """An operation of a client.

    Attributes:
        started: when it was called.
        ended: when it returned or gave up.
        client: the client: `driver` or `resolver`.
        name: the name of the operation.
        link: the name of the link.
        requested_pod: the pod to bind to, if the client names one.
        error: the error; empty for an acknowledged operation.
        answer: the pod that holds the uid, by the response; None for none.
        has_pod: whether the response names the pod that holds the uid.
        age: the maximum age of the answer, in seconds.
        writes: the acknowledged versions of the link, each with its pod.
        deleted: the versions of the link whose deletion was acknowledged.
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
    """A write of an operator, from the API server's audit log.

    Attributes:
        received: when the API server received it.
        credential: the credential of the process.
        resource: the resource with its subresource.
        name: the name of the object.
        code: the HTTP status of the response.
    """

    received: float
    credential: str
    verb: str
    resource: str
    name: str
    code: int


class FaultPeriod(Row):
    """A fault, from its injection to the repair of its cause.

    Attributes:
        hits: the number of requests and connections that it affected; None if they are not counted.
    """

    started: float
    ended: float
    kind: str
    hits: int | None = None


class QuietPeriod(Row):
    """A period without faults.

    Attributes:
        fault_kinds: the kinds of the faults that ended before it.
    """

    started: float
    ended: float
    fault_kinds: tuple[str, ...] = ()


class Calm(Row):
    """The end of the run: no fault is active, no client changes anything, and all pods take users.

    Attributes:
        settled: when all slots were bound and balanced, or when the run waited no longer.
        ended: until when the links were recorded afterwards.
    """

    settled: float
    ended: float


class LogMessage(Row):
    """Additional information."""

    at: float
    message: str
    fields: dict[str, str] = {}


AnyRow = (
    Run | Link | Route | Pod | Node | Workload | Lease | Definition | Gap | Process | Operation | Write | FaultPeriod
    | QuietPeriod | Calm | LogMessage
)  # fmt: skip

_decoder = msgspec.json.Decoder(AnyRow)


class Record:
    """The rows of a run in the order of writing."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows: dict[type[Row], list[Row]] = {}
        for row in rows:
            self._rows.setdefault(type(row), []).append(row)

    @classmethod
    def read(cls, file: Path) -> "Record":
        """Reads the record of a file."""
        with file.open("rb") as lines:
            return cls(map(_decoder.decode, lines))

    def all(self, kind: type[R]) -> list[R]:
        """Returns the rows of a kind in the order of writing."""
        return self._rows.get(kind, [])  # type: ignore[return-value]


class RecordWriter:
    """Writes a record. Thread-safe.

    Args:
        file: the path of the record.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._out = file.open("wb")
        self._lock = threading.Lock()

    def write(self, row: Row) -> None:
        """Writes a row."""
        line = msgspec.json.encode(row) + b"\n"
        with self._lock:
            self._out.write(line)

    def log(self, message: str, **fields: object) -> None:
        """Writes additional information."""
        self.write(LogMessage(time.time(), message, {name: str(value) for name, value in fields.items()}))

    def close(self) -> None:
        """Closes the file; later writes fail."""
        with self._lock:
            self._out.close()
