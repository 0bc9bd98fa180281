"""What the page of a route shows of its pods."""

from collections.abc import Mapping
from typing import Any

import msgspec

from statefulroute.cli.cluster import Object
from statefulroute.cli.objects import total_links
from statefulroute.console.links import RouteLinks
from statefulroute.domain.keys import STATEFUL_SET, PodKey, pod_sort_key

#: How many pods are shown that have links and are not in the status.
_MAX_UNLISTED = 100

_MILLI = 1000


class Closing(msgspec.Struct, frozen=True):
    """Why a pod is about to be removed, and until when it keeps its users."""

    reason: str
    deadline: str


class PodView(msgspec.Struct, frozen=True, rename="camel"):
    """A pod, or a name of one that has links.

    Attributes:
        name: the name; `#2` is the pod of index 2 whose name is not known.
        key: the index, or the name of a pod without an index.
        service_state: the state in Kubernetes; `Unlisted` if the status does not list the pod.
        routing_state: which users it takes.
        links: the number of its links in this route.
        total_links: the number of its links in all routes to its workload, by the status.
        slots: how many of its links are those of slots.
        load: the load; None if it reports none.
        is_stale: whether the load is too old to be used.
        reason: why it does not serve its users; empty if it does.
        lost: why it is lost; empty if it is not.
        revision: the revision of the template that it has; empty if the route has no rollout.
        closing: why it closes; None if it does not.
        is_handing_over: whether it hands its users over to other pods.
        spec_state: its routing state in the spec of the route; empty if the spec does not set it.
    """

    name: str
    key: PodKey
    service_state: str
    routing_state: str
    links: int
    total_links: int
    slots: int = 0
    load: float | None = None
    is_stale: bool = False
    reason: str = ""
    lost: str = ""
    revision: str = ""
    closing: Closing | None = None
    is_handing_over: bool = False
    spec_state: str = ""


def pod_views(route: Object, links: RouteLinks) -> list[PodView]:
    """Returns the pods of a route by index or name: those in its status, and further ones that have links."""
    status, counts, states = route.get("status", {}), links.counts(), _spec_states(route["spec"])
    lost = {pod["name"]: pod["cause"] for pod in status.get("lostPods", ())}
    listed = [_listed(pod, links, lost, states) for pod in status.get("pods", ())]
    known, names = {pod.key for pod in listed}, links.names()
    others = [pod for pod in counts if pod is not None and pod not in known]
    unlisted = [
        _unlisted(pod, _name(route, pod, names), links, lost)
        for pod in sorted(others, key=pod_sort_key)[:_MAX_UNLISTED]
    ]
    return sorted([*listed, *unlisted], key=lambda pod: pod_sort_key(pod.key))


def _spec_states(spec: Object) -> dict[PodKey, str]:
    """Returns the routing states of single pods that the spec of a route sets."""
    by_index = {each["index"]: each["routingState"] for each in spec.get("pods", ())}
    return by_index | {each["name"]: each["routingState"] for each in spec.get("namedPods", ())}


def _listed(
    pod: Object,
    links: RouteLinks,
    lost: Mapping[str, str],
    states: Mapping[PodKey, str],
) -> PodView:
    key: PodKey = pod["index"] if "index" in pod else pod["name"]
    load, own, closing = pod.get("weightedLoadMilli"), len(links.of_pod(key)), pod.get("closing")
    elsewhere = total_links(pod) - pod.get("links", 0)
    return PodView(
        name=pod["name"],
        key=key,
        service_state=pod.get("serviceState", "Unknown"),
        routing_state=pod.get("routingState", "Unknown"),
        links=own,
        total_links=own + elsewhere,
        slots=links.slots[key],
        load=None if load is None else load / _MILLI,
        is_stale=bool(pod.get("loadStale")),
        reason=pod.get("notServingReason", ""),
        lost=lost.get(pod["name"], ""),
        revision=pod.get("revision", ""),
        closing=None if closing is None else Closing(closing.get("reason", "Unknown"), closing.get("deadline", "")),
        is_handing_over=bool(pod.get("handingOver")),
        spec_state=states.get(key) or states.get(pod["name"], ""),
    )


def _unlisted(key: PodKey, name: str, links: RouteLinks, lost: Mapping[str, str]) -> PodView:
    return PodView(
        name=name,
        key=key,
        service_state="Unlisted",
        routing_state="Unknown",
        links=len(links.of_pod(key)),
        total_links=len(links.of_pod(key)),
        slots=links.slots[key],
        lost=lost.get(name, ""),
    )


def _name(route: Object, pod: PodKey, names: Mapping[PodKey, str]) -> str:
    """Returns the name of a pod that the status does not list."""
    if isinstance(pod, str):
        return pod
    workload: Mapping[str, Any] = route["spec"].get("workloadRef", {})
    kind = (workload.get("apiVersion", STATEFUL_SET[0]), workload.get("kind", STATEFUL_SET[1]))
    if kind == STATEFUL_SET:
        return f"{workload.get('name', route['metadata']['name'])}-{pod}"
    return names.get(pod, f"#{pod}")


def capacity(route: Object, pods: list[PodView]) -> tuple[int, bool]:
    """Returns the number of links at which a tile is full, and whether it is a limit.

    Without `placement.maxLinksPerPod`, it is the number of the pod with the most links.
    """
    limit: int = route["spec"].get("placement", {}).get("maxLinksPerPod", 0)
    return (limit, True) if limit else (max((pod.total_links for pod in pods), default=0) or 1, False)
