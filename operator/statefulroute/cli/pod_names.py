"""Translates between the pods that a user names, by index or by name, and the pods that links name."""

from dataclasses import dataclass
from typing import Self

from statefulroute.cli.cluster import CommandError, Object
from statefulroute.cli.objects import omitted_pods
from statefulroute.cli.output.messages import print_message
from statefulroute.domain.keys import NO_POD, STATEFUL_SET, PodKey
from statefulroute.domain.validation import validate_pod


@dataclass(frozen=True, slots=True)
class PodNames:
    """The names of the pods of a route.

    Attributes:
        route: the name of the route.
        stem: the part of a pod's name before its index; None if pods have no index, or the workload is not known.
        known: the names of the pods in the status of the route.
        omits_pods: whether the status does not list all pods.
    """

    route: str
    stem: str | None = None
    known: tuple[str, ...] = ()
    omits_pods: bool = False

    @classmethod
    def from_route(cls, route: Object) -> Self:
        """Returns the names of the pods of a StatefulRoute."""
        name, workload = route["metadata"]["name"], route["spec"].get("workloadRef", {})
        kind = (workload.get("apiVersion", STATEFUL_SET[0]), workload.get("kind", STATEFUL_SET[1]))
        known = tuple(pod["name"] for pod in route.get("status", {}).get("pods", ()))
        stem = workload.get("name", name) if kind == STATEFUL_SET else None
        return cls(name, stem, known, omitted_pods(route) > 0)

    def pod_key(self, pod: str) -> PodKey:
        """Returns the key of the pod that a user names by its name or its index.

        Raises:
            CommandError: the route cannot have such a pod.
            InvalidParameterError: the name is not valid for a pod.
        """
        if self.stem is None:
            return validate_pod(pod)
        index = pod.removeprefix(f"{self.stem}-")
        if not (index.isascii() and index.isdigit()):
            examples = ", ".join(self.known[:10]) or f"{self.stem}-0, {self.stem}-1, ..."
            raise CommandError(f"{self.route!r} has no pod {pod!r}: name one of {examples}, or its index")
        return validate_pod(int(index))

    def origin(self, pod: str) -> PodKey:
        """Returns the key of the pod that a link must be to: that which a user names, or `NO_POD`.

        Raises:
            CommandError: the route cannot have such a pod.
            InvalidParameterError: the name is not valid for a pod.
        """
        return NO_POD if pod == NO_POD else self.pod_key(pod)

    def pod_name(self, pod: PodKey | None) -> str:
        """Returns the name of a pod for messages."""
        if pod is None:
            return "no pod yet"
        if isinstance(pod, str):
            return pod
        return f"pod {pod}" if self.stem is None else f"{self.stem}-{pod}"

    def is_missing(self, pod: PodKey) -> bool:
        """Returns whether the status of the route lists all pods, but not this one."""
        return bool(self.known) and not self.omits_pods and self.pod_name(pod) not in self.known


def elsewhere_message(names: PodNames, uid: str, holder: PodKey | None, origin: PodKey | None) -> str:
    """Returns why a link was not changed that is not to the only pod from which it may be."""
    if origin == NO_POD:
        return f"{uid}: stays on {names.pod_name(holder)}, and does not wait for a pod"
    if holder is None:
        return f"{uid}: waits for a pod, and is not on {names.pod_name(origin)}"
    return f"{uid}: stays on {names.pod_name(holder)}, not on {names.pod_name(origin)}"


def previous_binding_label(names: PodNames, pod: PodKey, previous: PodKey | None) -> str:
    """Returns the suffix with the previous pod of a user; empty if there was none."""
    if previous is None:
        return ""
    return " (already)" if previous == pod else f" (was {names.pod_name(previous)})"


def warn_if_missing(names: PodNames, pod: PodKey, uid: str) -> None:
    """Print a note if the pod of a new binding does not exist now."""
    if names.is_missing(pod):
        print_message(f"note: {names.route} has no {names.pod_name(pod)} now: {uid} waits for it", err=True)
