"""Functions on objects as the API server returns them."""

from datetime import UTC, datetime, timedelta

import msgspec

from statefulroute.api.group import FINALIZER
from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.cli.cluster import Object
from statefulroute.domain.link import expire_time

#: How long the operator may take to remove its finalizer from a route that is deleted.
_FINALIZER_SECONDS = timedelta(seconds=30)

#: The states in which a pod may serve its users.
_SERVING = (ServiceState.READY, ServiceState.TERMINATING)


def is_deletion_blocked(route: Object, now: datetime) -> bool:
    """Returns whether the deletion of a route waits for an operator that does not remove its finalizer."""
    metadata = route["metadata"]
    deleted = parse_zoned_time(metadata.get("deletionTimestamp"))
    if deleted is None or FINALIZER not in metadata.get("finalizers", ()):
        return False
    return now > deleted + _FINALIZER_SECONDS


def condition(item: Object, condition_type: str) -> dict[str, str]:
    """Returns a condition of an object; empty if the object does not have it."""
    conditions = item.get("status", {}).get("conditions", ())
    return next((each for each in conditions if each["type"] == condition_type), {})


def omitted_pods(route: Object) -> int:
    """Returns how many pods of a route its status does not list, as far as the status shows it."""
    status = route.get("status", {})
    if "omittedPods" in status:
        count: int = status["omittedPods"].get("count", 0)
        return count
    # A definition of an earlier version drops `omittedPods`, but not the number of pods that serve users.
    serving = sum(
        bool(pod.get("serviceState") in _SERVING and pod.get("routingState") != RoutingState.SHUTDOWN)
        for pod in status.get("pods", ())
    )
    routable: int = status.get("routablePods", 0)
    return max(0, routable - serving)


def total_links(pod: Object) -> int:
    """Returns the number of links of a pod in the status of a route, in all routes to its workload."""
    links: int = pod.get("links", 0)
    total: int = pod.get("totalLinks", links)
    return total


def workload_label(route: Object) -> str:
    """Returns the kind and the name of the workload of a route: `StatefulSet/game`."""
    reference = route["spec"].get("workloadRef", {})
    return f"{reference.get('kind', 'StatefulSet')}/{reference.get('name', route['metadata']['name'])}"


def is_observed(item: Object) -> bool:
    """Returns whether the status of an object is of the present generation of its spec."""
    observed = item.get("status", {}).get("observedGeneration", 0)
    return bool(observed >= item["metadata"]["generation"])


def namespaced_name(item: Object) -> str:
    """Returns `namespace/name` of an object."""
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


def full_name(item: Object) -> str:
    """Returns the name of an object as kubectl accepts it: `podlink.statefulroute.io/game.alice`."""
    group = item["apiVersion"].rpartition("/")[0]
    return f"{item['kind'].lower()}{'.' + group if group else ''}/{item['metadata']['name']}"


def parse_zoned_time(text: object) -> datetime | None:
    """Returns the time in an RFC 3339 text; None if it is not one, or has no time zone."""
    if not isinstance(text, str):
        return None
    try:
        time = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
    return time.astimezone(UTC) if time.tzinfo else None


def link_expire_time(link: Object) -> datetime | None:
    """Returns when a PodLink expires; None if it is persistent."""
    creation_time = parse_zoned_time(link["metadata"]["creationTimestamp"])
    if creation_time is None:  # not from an API server
        return None
    return expire_time(creation_time, parse_zoned_time(link["spec"].get("renewTime")), link["spec"].get("ttlSeconds"))
