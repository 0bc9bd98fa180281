"""The JSON bodies of the sidecar's API."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from statefulroute.api.limits import DNS_SUBDOMAIN, DNS_SUBDOMAIN_MAX_LENGTH, INT32_MAX
from statefulroute.domain.address import Address
from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.keys import PodKey
from statefulroute.domain.operations import Attempt

_INT32 = {"format": "int32"}
_INT64 = {"format": "int64"}
_PodIndex = Annotated[int, msgspec.Meta(ge=0, le=INT32_MAX, extra_json_schema=_INT32)]
_PodName = Annotated[str, msgspec.Meta(min_length=1, max_length=DNS_SUBDOMAIN_MAX_LENGTH, pattern=DNS_SUBDOMAIN)]
_Slot = Annotated[int, msgspec.Meta(ge=0, le=INT32_MAX, extra_json_schema=_INT32)]
_NumberOfSlots = Annotated[int, msgspec.Meta(ge=1, le=INT32_MAX, extra_json_schema=_INT32)]
_Load = Annotated[int, msgspec.Meta(ge=0, le=INT32_MAX, extra_json_schema=_INT32)]


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    """A response body; its fields are camelCase in JSON."""


class _Request(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A request body; its fields are camelCase in JSON."""


class PodReference(_Answer, frozen=True):
    """A pod, as links name it: by its index in a StatefulSet, otherwise by its name. The other field is null."""

    pod_index: _PodIndex | None
    pod_name: str | None


class ServerAnswer(_Answer, frozen=True):
    """The identity of the pod, and what its driver does."""

    namespace: str
    route: str
    """The name of the pod's StatefulRoute."""
    pod_name: str
    pod_index: _PodIndex | None
    """The pod's index in its StatefulSet, by which links name it; null if links name it by its name."""
    is_running: bool
    """Whether the driver was started and not stopped since."""
    is_cut_off: bool
    """Whether the API server has not answered for --fence-after-seconds, if that is set."""


class StopRequest(_Request, frozen=True):
    """How to stop."""

    drain_seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """The maximal wait for the users to leave; null uses --drain-seconds."""


class LoadState(_Request, frozen=True):
    """How busy the pod is, in a unit of the application."""

    load_state: _Load


class WaitingTasks(_Request, frozen=True):
    """The number of tasks that wait in the pod."""

    waiting_tasks: _Load


class RoutingStateBody(_Request, frozen=True):
    """Which users the pod accepts."""

    routing_state: Literal["Ready", "DenyNewCall", "Shutdown", "Unknown"]


class BindRequest(_Request, frozen=True):
    """The pod to bind a user to: by its index in a StatefulSet, or by its name. Without both, this pod."""

    pod_index: _PodIndex | None = None
    pod_name: _PodName | None = None
    ttl_seconds: Annotated[int, msgspec.Meta(ge=1, le=INT32_MAX, extra_json_schema=_INT32)] | None = None
    """The TTL of the link; null makes a persistent link."""


class LinkAnswer(PodReference, frozen=True):
    """The pod that holds a user."""

    route: str
    uid: str


class BoundAnswer(_Answer, frozen=True):
    """The result of a binding."""

    previous: PodReference | None
    """The pod that held the user before; null if none did."""


class ClaimAnswer(_Answer, frozen=True):
    """The result of a claim."""

    won: bool
    """Whether the user is bound to the requested pod now."""
    holder: PodReference
    """The pod that the user is bound to."""


class RemovedAnswer(_Answer, frozen=True):
    """The result of a removal."""

    removed: bool
    """Whether there was such a link."""


class LinksAnswer(_Answer, frozen=True):
    """The pods that hold a user."""

    links: dict[str, PodReference]
    """By route."""


class AddressAnswer(_Answer, frozen=True):
    """The address of the pod that holds a user."""

    pod_name: str
    address: str
    """IP and port; only the IP if the route has no port."""
    ip: str
    port: Annotated[int, msgspec.Meta(extra_json_schema=_INT32)] | None
    host: str | None
    """The pod's stable DNS name; null if it has none."""


class UsersAnswer(_Answer, frozen=True):
    """The users that are bound to the pod, in a route."""

    route: str
    users: list[str]


class UserAnswer(_Answer, frozen=True):
    """Whether the pod holds a user."""

    route: str
    uid: str
    owned: bool
    """Whether a link of its own, or its slot, binds the user to the pod, as far as the pod's watches show."""
    slot: _Slot | None
    """The slot that the uid belongs to; null without slots."""


class SlotsAnswer(_Answer, frozen=True):
    """The slots that are bound to the pod, in a route."""

    route: str
    slots: list[_Slot]
    number_of_slots: _NumberOfSlots | None
    """The number of all slots of the route; null if it has none, or was not read yet."""


class TokenAnswer(_Answer, frozen=True):
    """The fencing token of a user. The token of any later holder is greater."""

    token: Annotated[int, msgspec.Meta(extra_json_schema=_INT64)]


# The events.


class UserState(_Answer, frozen=True):
    """A user that is bound to the pod."""

    route: str
    uid: str
    leaving_deadline: datetime | None
    """Until when the closing pod keeps the user; null if the user stays."""


class SlotState(_Answer, frozen=True):
    """A slot that is bound to the pod, with all its users that have no link of their own."""

    route: str
    slot: _Slot
    leaving_deadline: datetime | None
    """Until when the closing pod keeps the slot; null if the slot stays."""


class HandOverEvent(_Answer, frozen=True):
    """`hand-over`: the application is asked to save the state of a user, and to confirm the hand-over."""

    id: str
    """The id of the hand-over, for the requests about it."""
    route: str
    uid: str
    to: PodReference
    """The new pod."""
    deadline: datetime
    """When the operator moves the user to the new pod, whether the hand-over is confirmed or not."""


class SlotHandOverEvent(_Answer, frozen=True):
    """`slot-hand-over`: the application is asked to save the states of the users of a slot, and to confirm it."""

    id: str
    """The id of the hand-over, for the requests about it."""
    route: str
    slot: _Slot
    to: PodReference
    """The new pod."""
    deadline: datetime
    """When the operator moves the slot to the new pod, whether the hand-over is confirmed or not."""


class ArrivingEvent(_Answer, frozen=True):
    """`arriving`: the application is asked to read the state of a user of another pod, and to confirm or refuse it."""

    id: str
    """The id of the hand-over, for the requests about it."""
    route: str
    uid: str
    origin: PodReference
    """The pod that sends the state."""
    deadline: datetime
    """When the user arrives at the latest, whether this pod has the state or not."""


class ArrivalCancelledEvent(_Answer, frozen=True):
    """`arrival-cancelled`: a user whose state the application has confirmed does not arrive."""

    route: str
    uid: str


class StateEvent(_Answer, frozen=True):
    """`state`: all users and slots of the pod. It replaces what the client knew."""

    is_cut_off: bool
    users: list[UserState]
    slots: list[SlotState]
    hand_overs: list[HandOverEvent]
    """The users who leave and wait for the application."""
    slot_hand_overs: list[SlotHandOverEvent]
    """The slots that leave and wait for the application."""
    arrivals: list[ArrivingEvent]
    """The users who arrive and wait for the application."""


class ArrivedEvent(_Answer, frozen=True):
    """`arrived`: a user is bound to the pod."""

    route: str
    uid: str
    previous: PodReference | None
    """The pod that held the user before; null if none did, or if it is unknown."""


class LeavingEvent(_Answer, frozen=True):
    """`leaving`: the user will be moved to another pod. Repeated if the deadline changes."""

    route: str
    uid: str
    to: PodReference | None
    """The other pod; null if it is not known yet."""
    deadline: datetime
    """Until when the pod keeps the user."""


class StayingEvent(_Answer, frozen=True):
    """`staying`: a user for whom there was a `leaving` stays."""

    route: str
    uid: str


class LeftEvent(_Answer, frozen=True):
    """`left`: a user is no longer bound to the pod."""

    route: str
    uid: str
    reason: str
    """Unbound, Expired or Missed; further ones may be added."""


class SlotArrivedEvent(_Answer, frozen=True):
    """`slot-arrived`: a slot is bound to the pod, with all its users that have no link of their own."""

    route: str
    slot: _Slot
    previous: PodReference | None
    """The pod that held the slot before; null if none did, or if it is unknown."""


class SlotLeavingEvent(_Answer, frozen=True):
    """`slot-leaving`: the slot will be moved to another pod. Repeated if the deadline changes."""

    route: str
    slot: _Slot
    to: PodReference | None
    """The other pod; null if it is not known yet."""
    deadline: datetime
    """Until when the pod keeps the slot."""


class SlotStayingEvent(_Answer, frozen=True):
    """`slot-staying`: a slot for which there was a `slot-leaving` stays."""

    route: str
    slot: _Slot


class SlotLeftEvent(_Answer, frozen=True):
    """`slot-left`: a slot is no longer bound to the pod."""

    route: str
    slot: _Slot
    reason: str
    """Unbound or Missed; further ones may be added."""


class CutOffEvent(_Answer, frozen=True):
    """`cut-off`: the API server has not answered for --fence-after-seconds: users may have been moved meanwhile."""

    seconds: float
    """Since the last request that it has answered."""


class ReconnectedEvent(_Answer, frozen=True):
    """`reconnected`: the API server answers again. The events of users that have left precede this one."""

    seconds: float
    """Since the last request that it has answered before."""


class LostEvent(_Answer, frozen=True):
    """`lost`: events were dropped, because the client was too slow. A `state` follows."""

    number: Annotated[int, msgspec.Meta(extra_json_schema=_INT64)]


def pod_reference(pod: PodKey) -> PodReference:
    """Returns the body for a pod."""
    return PodReference(pod, None) if isinstance(pod, int) else PodReference(None, pod)


def optional_reference(pod: PodKey | None) -> PodReference | None:
    """Returns the body for a pod, or None."""
    return None if pod is None else pod_reference(pod)


def link_answer(route: str, uid: str, pod: PodKey) -> LinkAnswer:
    """Returns the body for a link."""
    reference = pod_reference(pod)
    return LinkAnswer(reference.pod_index, reference.pod_name, route, uid)


def claim_answer(attempt: Attempt) -> ClaimAnswer:
    """Returns the body for an attempt."""
    return ClaimAnswer(attempt.won, pod_reference(attempt.holder))


def address_answer(address: Address) -> AddressAnswer:
    """Returns the body for an address."""
    return AddressAnswer(address.pod, address.endpoint, address.ip, address.port, address.host)


def requested_pod(request: BindRequest) -> PodKey | None:
    """Returns the pod that a request names; None if it names none.

    Raises:
        InvalidParameterError: it names two pods.
    """
    if request.pod_index is not None and request.pod_name is not None:
        raise InvalidParameterError("podIndex", "and podName exclude each other: name one pod")
    return request.pod_name if request.pod_index is None else request.pod_index
