"""Routes that need little memory: equal specs are one object, and a status is decoded when it is read.

As models of pydantic, spec and status take 13 KB a route and 24 objects that the garbage collector visits.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec

from statefulroute.api.group import API_VERSION, STATEFUL_ROUTE
from statefulroute.api.route_status import LostPodStatus, ObservedWorkload, StatefulRouteStatus
from statefulroute.api.statefulroute import StatefulRouteSpec
from statefulroute.api.vocabulary import ConditionType, WorkloadState
from statefulroute.cluster.codec.objects import shared_string
from statefulroute.cluster.codec.routes import log_unknown_values, loss_confirmed_at, read_route_spec
from statefulroute.cluster.model_reader import read_model
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.domain.keys import RouteKey, WorkloadKey
from statefulroute.domain.route import Route

K = TypeVar("K", bound=Hashable)
D = TypeVar("D")

#: How many decoded specs are kept: most routes have one of few.
_SPECS = 4096

#: How many decoded statuses are kept: the work on one route reads its status several times. And of how many statuses
#: the facts are kept that are read one after the other.
_STATUSES, _FACTS = 256, 512

#: Of how much JSON either is kept. A status takes eight times as much memory as its JSON, of which one of 500 pods has
#: up to 200 KB. The facts take little, but what is kept of them contains the JSON.
_STATUS_BYTES = 8 * 2**20

_EMPTY = b"{}"

_LOSS_SUSPENDED = str(ConditionType.LOSS_SUSPENDED)


class _Metadata(msgspec.Struct, kw_only=True, gc=False, rename="camel"):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str
    generation: int = 0
    deletion_timestamp: str | None = None
    annotations: dict[str, str] | None = None


class _Route(msgspec.Struct, kw_only=True, gc=False):
    metadata: _Metadata
    spec: msgspec.Raw = msgspec.Raw(_EMPTY)
    status: msgspec.Raw = msgspec.Raw(_EMPTY)


class _Condition(msgspec.Struct, gc=False):
    type: str = ""
    status: str = ""


class _Workload(msgspec.Struct, gc=False, rename="camel"):
    api_version: str
    kind: str
    name: str


class _StatusFacts(msgspec.Struct, gc=False, rename="camel"):
    """What the start of the work on a route needs of its status."""

    observed_generation: int | None = None
    workload: _Workload | None = None
    workload_state: str | None = None
    workload_load: int | None = None
    lost_pods: list[msgspec.Raw] | None = None
    conditions: list[_Condition] | None = None


class _Decoded(Generic[K, D]):
    """What was decoded last of the JSON of statuses.

    Args:
        decode: decodes the JSON of a status.
        limit: how much is kept.
    """

    def __init__(self, decode: Callable[[bytes], D], limit: int) -> None:
        self._decode = decode
        self._limit = limit
        self._decoded: OrderedDict[K, tuple[bytes, D]] = OrderedDict()
        self._bytes = 0

    def read(self, key: K, encoded: bytes) -> D:
        """Returns what is decoded of this JSON; it replaces what was decoded of other JSON with the same key."""
        if (known := self._decoded.pop(key, None)) is not None:
            if known[0] == encoded:
                self._decoded[key] = known
                return known[1]
            self._bytes -= len(known[0])
        decoded = self._decode(encoded)
        self._decoded[key] = encoded, decoded
        self._bytes += len(encoded)
        while len(self._decoded) > self._limit or self._bytes > _STATUS_BYTES:
            _, (oldest, _) = self._decoded.popitem(last=False)
            self._bytes -= len(oldest)
        return decoded


_facts_decoder = msgspec.json.Decoder(_StatusFacts)


def _decode_facts(status: bytes) -> _StatusFacts | None:
    try:
        return _facts_decoder.decode(status)
    except ValueError:
        return None


#: Of two versions of a route, one is often compared with the other, so the facts of both are kept.
_facts: _Decoded[bytes, _StatusFacts | None] = _Decoded(_decode_facts, _FACTS)


def _read_facts(status: bytes) -> _StatusFacts | None:
    """Returns the facts of a status in JSON; None if a value is invalid, for example one of another version."""
    return _facts.read(status, status)


class LeanRoute(Route):
    """One version of a StatefulRoute. It stores the status in JSON."""

    __slots__ = ("_key", "_status", "_workload_key")
    _key: RouteKey
    _status: bytes
    _workload_key: WorkloadKey

    @property
    def status(self) -> StatefulRouteStatus:
        """The status."""
        return _statuses.read(self.key, self._status)

    @status.setter
    def status(self, status: StatefulRouteStatus) -> None:
        if status is not _NO_STATUS:
            status_json = status.model_dump_json(by_alias=True, exclude_none=True)
            object.__setattr__(self, "_status", status_json.encode())

    @property
    def key(self) -> RouteKey:
        """The key of the route, which all indexes share."""
        try:
            return self._key
        except AttributeError:
            object.__setattr__(self, "_key", RouteKey(self.namespace, self.name))
            return self._key

    @property
    def workload_key(self) -> WorkloadKey:
        """The key of the workload, which all indexes share."""
        try:
            return self._workload_key
        except AttributeError:
            object.__setattr__(self, "_workload_key", super().workload_key)
            return self._workload_key

    @property
    def is_handled(self) -> bool:
        """Whether the status is for the current generation of the spec."""
        facts = _read_facts(self._status)
        return super().is_handled if facts is None else facts.observed_generation == self.generation

    @property
    def status_workload(self) -> ObservedWorkload | None:
        """The workload that the status is for; None if it names none."""
        facts = _read_facts(self._status)
        if facts is None:
            return super().status_workload
        workload = facts.workload
        if workload is None:
            return None
        return ObservedWorkload(api_version=workload.api_version, kind=workload.kind, name=workload.name)

    def with_observed_workload(self) -> Route | None:
        """Returns the route with the workload of its status; None if that is the workload of its spec, or unknown."""
        facts, key = _read_facts(self._status), self.workload_key
        if facts is not None:
            workload = facts.workload
            if workload is None or (workload.name, workload.kind, workload.api_version) == (
                key.name,
                key.kind,
                key.api_version,
            ):
                return None
        return super().with_observed_workload()

    @property
    def status_assessment(self) -> tuple[WorkloadState | None, int | None]:
        """How busy the service is by the status: the workload state, and the mean weighted load."""
        facts = _read_facts(self._status)
        if facts is None:
            return super().status_assessment
        return None if facts.workload_state is None else WorkloadState(facts.workload_state), facts.workload_load

    @property
    def are_losses_suspended(self) -> bool:
        """Whether losses are suspended by the status."""
        facts = _read_facts(self._status)
        if facts is None:
            return super().are_losses_suspended
        return any(each.type == _LOSS_SUSPENDED and each.status == "True" for each in facts.conditions or ())

    @property
    def status_lost_pods(self) -> Sequence[LostPodStatus]:
        """The lost pods by the status."""
        facts = _read_facts(self._status)
        return () if facts is not None and not facts.lost_pods else super().status_lost_pods

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LeanRoute) and self._fields == other._fields

    def __hash__(self) -> int:
        return hash((self.key, self.resource_version))

    @property
    def _fields(self) -> tuple[object, ...]:
        return (
            self.namespace,
            self.name,
            self.uid,
            self.resource_version,
            self.generation,
            self.spec,
            self._status,
            self.is_deleting,
            self.loss_confirmed_at,
        )


@lru_cache(_SPECS)
def _read_spec(spec: bytes) -> tuple[StatefulRouteSpec, tuple[str, ...]]:
    return read_route_spec(_object(spec))


def _object(encoded: bytes) -> dict[str, Any]:
    """Decodes an object.

    Raises:
        ValueError: it is not an object.
    """
    return _object_decoder.decode(encoded)


def _decode_status(encoded: bytes) -> StatefulRouteStatus:
    return read_model(StatefulRouteStatus, _object(encoded))[0]  # the next update replaces what is left out


_object_decoder = msgspec.json.Decoder(dict[str, Any])
_statuses: _Decoded[RouteKey, StatefulRouteStatus] = _Decoded(_decode_status, _STATUSES)
_NO_STATUS = StatefulRouteStatus()


def _make_route(route: _Route) -> LeanRoute:
    metadata = route.metadata
    spec, unknown = _read_spec(bytes(route.spec))
    if unknown:
        log_unknown_values(metadata.namespace, metadata.name, metadata.generation, unknown)
    status = bytes(route.status)  # a copy, because the original is a part of a whole page
    _object_decoder.decode(status)
    made = LeanRoute(
        namespace=shared_string(metadata.namespace),
        name=metadata.name,
        uid=metadata.uid,
        resource_version=int(metadata.resource_version),
        generation=metadata.generation,
        spec=spec,
        status=_NO_STATUS,
        is_deleting=metadata.deletion_timestamp is not None,
        loss_confirmed_at=loss_confirmed_at(metadata.annotations),
    )
    object.__setattr__(made, "_status", status)
    return made


LEAN_ROUTES: ResourceType[Route] = ResourceType(f"/apis/{API_VERSION}/{STATEFUL_ROUTE.plural}", _Route, _make_route)
