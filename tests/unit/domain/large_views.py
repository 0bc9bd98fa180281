"""Views of routes with thousands of pods, and the size of their statuses."""

import json
from dataclasses import replace

from statefulroute.api.limits import CLOSING_PODS_MAX, INT32_MAX, LOST_PODS_MAX, SELECTOR_MAX_BYTES
from statefulroute.api.route_status import LostPodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import (
    ClosingReason,
    LossCause,
    RouteReason,
    RoutingState,
    ServiceState,
    WorkloadState,
)
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.closing import Closing
from statefulroute.domain.disruption.status import CONDITION_TYPES, DisruptionStatus
from statefulroute.domain.keys import PodKey
from statefulroute.domain.load import Load
from statefulroute.domain.pod import REVISION_LABEL
from statefulroute.domain.route import RouteView
from statefulroute.domain.route_status import route_status
from unit.domain.builders import NOON, STALE, deployment, load, named_pod, pod, route, view, workload

MANY = 2_000

_LONG_NAME = "n" * 253

#: The number of links of a pod. The API server refuses a sum beyond 32 bits.
_LINKS = 100_000


def big_view(
    number: int = MANY, *changed: int, state: RoutingState = RoutingState.DENY_NEW_CALL, **fields: object
) -> RouteView:
    """Returns the view of a route with many pods, of which some report a routing state."""
    pods = (
        pod(index, reported_routing_state=state if index in changed else RoutingState.READY) for index in range(number)
    )
    return view(*pods, workload=workload(number), **fields)  # type: ignore[arg-type]


def worst_status(number: int, name_length: int, *, has_rollout: bool = False) -> StatefulRouteStatus:
    """Returns the largest status of a route with this number of pods with names of this length."""
    lost = LostPodStatus(
        index=INT32_MAX,
        name=f"{_LONG_NAME}-{INT32_MAX}",
        cause=max(LossCause, key=len),
        links=INT32_MAX,
        lost_time=NOON,
    )
    lost_pods: dict[PodKey, LostPodStatus] = dict.fromkeys(range(LOST_PODS_MAX * 2), lost)
    assessment = Assessment(WorkloadState.OVERLOADED, INT32_MAX)
    view = _worst_view(number, name_length, **({"rollout": {}, "replicas": number} if has_rollout else {}))
    closing = Closing(max(ClosingReason, key=len), NOON, NOON)
    closing_pods = dict.fromkeys([*view.pods][-CLOSING_PODS_MAX:], closing)
    view = replace(view, closing=closing_pods)
    conditions = dict.fromkeys(CONDITION_TYPES, (False, max(RouteReason, key=len), "<" * 10_000))
    planned = DisruptionStatus(INT32_MAX, conditions, INT32_MAX)
    status = route_status(view, assessment, NOON, lost_pods, disruption=planned)
    assert sum(pod.closing is not None for pod in status.pods) == len(closing_pods)
    return status.model_copy(update={"operator": "o" * 300})


def _worst_view(number: int, name_length: int, **spec: object) -> RouteView:
    """Returns the view of a route whose pods have long names, reasons and messages, and all fields."""
    pods = [
        named_pod(
            f"{index:06}".rjust(name_length, "n"),
            ServiceState.NOT_READY if index % 3 else ServiceState.TERMINATING,
            reported_routing_state=RoutingState.DENY_NEW_CALL,
            not_ready_reason="<" * 128,
            is_ready=index % 2 == 0,
            **({"labels": {"app": "game", REVISION_LABEL: "r" * 63}} if spec else {}),
        )
        for index in range(number)
    ]
    keys = [each.name for each in pods]
    huge = Load(load(INT32_MAX, INT32_MAX, age=STALE).report, INT32_MAX)
    return view(
        *pods,
        route=route(**spec, workloadRef={"apiVersion": "<" * 10_000, "kind": "<" * 10_000, "name": _LONG_NAME}),
        workload=replace(deployment(number), selector_text="s" * SELECTOR_MAX_BYTES),
        link_counts=dict.fromkeys(keys, _LINKS),
        other_link_counts=[dict.fromkeys(keys, _LINKS)],
        loads=dict.fromkeys(keys, huge),
        load_errors=dict.fromkeys(keys, "<" * 10_000),
    )


def stored_size(status: StatefulRouteStatus) -> int:
    """Returns the size of a status in etcd: Go's JSON encoder has no spaces, and escapes some characters."""
    text = json.dumps(
        status.model_dump(mode="json", by_alias=True, exclude_none=True), separators=(",", ":"), ensure_ascii=False
    )
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return len(text.encode())
