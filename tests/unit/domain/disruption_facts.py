"""Builders of what plans of disruptions depend on."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from statefulroute.api.statefulroute import StatefulRouteSpec
from statefulroute.api.vocabulary import ClosingReason
from statefulroute.domain.closing import Closing
from statefulroute.domain.disruption.facts import DisruptionFacts, PodFacts
from statefulroute.domain.disruption.plan import Plan, plan_disruptions
from statefulroute.domain.keys import PodKey
from statefulroute.domain.selector import Selector
from statefulroute.domain.workload import Workload
from unit.domain.builders import NOON


def closing(
    reason: ClosingReason = ClosingReason.SCALE_DOWN, *, ago: float = 0, seconds: float = 3600, is_over: bool = False
) -> Closing:
    """Returns that a pod has been closing for a time, with a deadline so many seconds after its beginning."""
    since = NOON - timedelta(seconds=ago)
    return Closing(reason, since, since + timedelta(seconds=seconds), is_over)


def pod(key: PodKey, links: int = 0, closing: Closing | None = None, **more: Any) -> PodFacts:
    """Returns a ready pod; one that is closing is announced, unless `is_announced` is set."""
    name = f"game-{key}" if isinstance(key, int) else key
    fields: dict[str, Any] = {"uid": f"uid-of-{name}", "is_announced": closing is not None}
    return PodFacts(key=key, name=name, links=links, closing=closing, **fields | more)


def absent_pod(key: int, links: int, closing: Closing | None = None) -> PodFacts:
    """Returns an index that links name and no pod has."""
    return pod(key, links, closing, uid="", is_ready=False, is_announced=False)


def facts(*pods: PodFacts, replicas: int, now: datetime = NOON, first: int | None = 0, **more: Any) -> DisruptionFacts:
    """Returns the facts of a StatefulSet with these pods, or of a Deployment if `first` is None.

    Args:
        pods: the pods.
        replicas: the number of pods that the workload has now.
        now: the current time.
        first: the index of the first pod.
        more: `spec_replicas`, which is `replicas` of the spec, other fields of the spec, and
            fields of the facts and of the workload.
    """
    kind: Mapping[str, Any] = {} if first is not None else {"workloadRef": {"kind": "Deployment"}}
    names = {"can_rank_pods", "scale_refusal", "eviction_refusals"}
    fields = {name: more.pop(name) for name in names & more.keys()}
    revision = {name: more.pop(name) for name in ("update_revision", "update_strategy") if name in more}
    desired = {"replicas": more.pop("spec_replicas")} if "spec_replicas" in more else {}
    return DisruptionFacts(
        route_name="game",
        spec=StatefulRouteSpec.model_validate({**kind, **desired, **more}),
        workload=Workload(
            namespace="play",
            name="game",
            resource_version=1,
            uid="set",
            replicas=replicas,
            first_index=first,
            **revision,
            selector=None if first is not None else Selector.parse("app=game"),
        ),
        pods={each.key: each for each in pods},
        now=now,
        **fields,
    )


def plan(*pods: PodFacts, **more: Any) -> Plan:
    """Returns the plan for the facts of these pods."""
    return plan_disruptions(facts(*pods, **more))
