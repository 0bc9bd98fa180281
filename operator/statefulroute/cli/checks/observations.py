"""What checks record of objects for later checks."""

from dataclasses import dataclass, field

from statefulroute.api.group import Kind
from statefulroute.api.vocabulary import NotServingReason
from statefulroute.cli.cluster import Object
from statefulroute.cli.objects import is_observed, namespaced_name, omitted_pods
from statefulroute.domain.keys import PodKey

_SAMPLE_SIZE = 5


@dataclass(slots=True)
class Occurrences:
    """The number of objects that a result concerns, and the first of them.

    Attributes:
        count: the number.
        example: the first object, as `namespace/name`.
        message: the message of its condition.
    """

    count: int = 0
    example: str = ""
    message: str = ""

    def add(self, item: Object, message: str = "") -> None:
        """Count an object."""
        if not self.count:
            self.example, self.message = namespaced_name(item), message
        self.count += 1


@dataclass(slots=True)
class OperatorLag:
    """Objects that show whether the operator runs: it observes every spec, and removes expired links.

    Attributes:
        unobserved: objects whose status is not of their present spec.
        sample: some of them, to be checked again.
        expired: temporary links that expired long ago.
        object_count: the number of objects.
    """

    unobserved: Occurrences = field(default_factory=Occurrences)
    sample: list[tuple[Kind, Object]] = field(default_factory=list)
    expired: Occurrences = field(default_factory=Occurrences)
    object_count: int = 0

    def record(self, kind: Kind, item: Object) -> None:
        """Record one object."""
        self.object_count += 1
        if not is_observed(item) and not item["metadata"].get("deletionTimestamp"):
            self.unobserved.add(item)
            if len(self.sample) < _SAMPLE_SIZE:
                self.sample.append((kind, item))


@dataclass(slots=True)
class ServingPods:
    """Which pods serve their users, from the statuses of the routes."""

    _reasons: dict[tuple[str, str], dict[PodKey, str]] = field(default_factory=dict)
    """By namespace and name of each route, why its pods do not serve; empty for pods that do."""
    _incomplete: set[tuple[str, str]] = field(default_factory=set)
    """The routes whose status does not list all pods."""

    def record(self, route: Object) -> None:
        """Record the pods of a route."""
        status, metadata = route.get("status", {}), route["metadata"]
        key = metadata["namespace"], metadata["name"]
        if omitted_pods(route):
            self._incomplete.add(key)
        if "observedGeneration" in status:
            self._reasons[key] = {
                pod.get("index", pod["name"]): pod.get("notServingReason", "") for pod in status.get("pods", ())
            }

    def not_serving_reason(self, link: Object) -> str:
        """Returns why the pod of a link does not serve; empty if it serves, or if nothing is known of it."""
        spec = link["spec"]
        route = link["metadata"]["namespace"], spec["routeName"]
        pods = self._reasons.get(route)
        if pods is None:
            return ""
        default = "" if route in self._incomplete else NotServingReason.POD_NOT_FOUND
        return pods.get(spec.get("podIndex", spec.get("podName")), default)
