"""Reads and changes the routing states in the spec of a route: of the service, and of single pods."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.api.vocabulary import RoutingState
from statefulroute.cli.cluster import Cluster, CommandError, Object
from statefulroute.cli.pod_names import PodNames
from statefulroute.cluster.errors import ConflictError
from statefulroute.domain.backoff import Backoff
from statefulroute.domain.keys import PodKey
from statefulroute.domain.validation import validate_route

#: The operator writes the status at most once a second: with this many attempts, one succeeds.
MAX_ATTEMPTS = 12

_BACKOFF = Backoff(initial_seconds=0.2, max_seconds=0.2, random=random.random, jitter=1.0)


@dataclass(frozen=True, slots=True)
class RouteUpdate:
    """A route before and after a change."""

    before: Object
    after: Object


async def set_pod_state(
    cluster: Cluster, route: str, pod: str, state: RoutingState | None
) -> tuple[RouteUpdate, PodNames, PodKey]:
    """Set the routing state of a pod in the spec of a route; None removes it.

    Returns:
        The update, the names of the route's pods, and the key of the pod.
    """
    names = PodNames.from_route(await cluster.route(validate_route(route)))
    key = names.pod_key(pod)
    update = await update_spec(cluster, route, lambda spec: _pod_states(spec, names, key, state))
    return update, names, key


async def update_spec(cluster: Cluster, route: str, change: Callable[[Object], dict[str, Any]]) -> RouteUpdate:
    """Patch the spec of a route, retrying if the route changes between the read and the write.

    A patch replaces a list as a whole, so it must be made from the present one.

    Args:
        cluster: the cluster and the namespace.
        route: the name of the route.
        change: returns the changed fields of a spec.

    Raises:
        CommandError: the route does not exist, or was changed by others at each attempt.
    """
    for attempt in range(MAX_ATTEMPTS):
        before = await cluster.route(validate_route(route))
        body = {
            "metadata": {"resourceVersion": before["metadata"]["resourceVersion"]},
            "spec": change(before["spec"]),
        }
        try:
            after = await cluster.client.merge_patch(cluster.path(STATEFUL_ROUTE, route), msgspec.json.encode(body))
        except ConflictError:
            await asyncio.sleep(_BACKOFF.delay(attempt))
        else:
            return RouteUpdate(before, msgspec.json.decode(after))
    raise CommandError(f"{route} was changed by others {MAX_ATTEMPTS} times in a row: try again")


def _pod_states(spec: Object, names: PodNames, pod: PodKey, state: RoutingState | None) -> dict[str, Any]:
    """Returns the changed lists of states of single pods, with the new state of this pod; other pods keep theirs."""
    changed: dict[str, Any] = {}
    for field, key_field, key in (("pods", "index", pod), ("namedPods", "name", names.pod_name(pod))):
        entries = spec.get(field, [])
        new_entries = [entry for entry in entries if entry[key_field] != key]
        if state is not None and (key_field == "index") == isinstance(pod, int):
            indexes = (index for index, entry in enumerate(entries) if entry[key_field] == key)
            new_entries.insert(next(indexes, len(new_entries)), {key_field: key, "routingState": state.value})
        if new_entries != entries:
            changed[field] = new_entries
    return changed


def find_pod_state(route: Object, names: PodNames, pod: PodKey) -> str | None:
    """Returns the routing state of a pod in the spec of a route; None if the spec does not set it."""
    spec, name = route["spec"], names.pod_name(pod)
    states = [entry["routingState"] for entry in spec.get("pods", ()) if entry["index"] == pod]
    states += [entry["routingState"] for entry in spec.get("namedPods", ()) if entry["name"] == name]
    return next(iter(states), None)


def find_pod_status(route: Object, name: str) -> Object | None:
    """Returns the status of a pod in the status of a route; None if there is none."""
    pods = route.get("status", {}).get("pods", ())
    return next((pod for pod in pods if pod["name"] == name), None)
