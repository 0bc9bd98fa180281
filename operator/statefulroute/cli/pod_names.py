"""How people name pods: by the index or by the name, whichever they have at hand."""

from dataclasses import dataclass
from typing import Self

from statefulroute.cli.cluster import CommandError, Object
from statefulroute.domain.keys import PodKey
from statefulroute.domain.validation import validate_pod

_INDEXED = ("apps/v1", "StatefulSet")


@dataclass(frozen=True, slots=True)
class PodNames:
    """The pods of a route, as links name them and as people do.

    Attributes:
        route: the route's name.
        stem: what stands before the index in the pods' names; None where pods have no index, or nobody knows.
        known: the names of the pods that the route's status tells of.
    """

    route: str
    stem: str | None = None
    known: tuple[str, ...] = ()

    @classmethod
    def from_route(cls, route: Object) -> Self:
        """Those of a StatefulRoute."""
        name, workload = route["metadata"]["name"], route["spec"].get("workloadRef", {})
        kind = (workload.get("apiVersion", _INDEXED[0]), workload.get("kind", _INDEXED[1]))
        known = tuple(pod["name"] for pod in route.get("status", {}).get("pods", ()))
        return cls(name, workload.get("name", name) if kind == _INDEXED else None, known)

    def pod_key(self, pod: str) -> PodKey:
        """How a link names the pod that somebody means.

        Raises:
            SentenceError: the route can have no such pod.
            InvalidParameterError: no pod can have this name.
        """
        if self.stem is None:
            return validate_pod(pod)
        index = pod.removeprefix(f"{self.stem}-")
        if not (index.isascii() and index.isdigit()):
            some = ", ".join(self.known[:10]) or f"{self.stem}-0, {self.stem}-1, ..."
            raise CommandError(f"{self.route!r} has no pod {pod!r}: name one of {some}, or its index")
        return validate_pod(int(index))

    def pod_name(self, pod: PodKey | None) -> str:
        """A pod's name for people."""
        if pod is None:
            return "no pod yet"
        if isinstance(pod, str):
            return pod
        return f"pod {pod}" if self.stem is None else f"{self.stem}-{pod}"

    def is_missing(self, pod: PodKey) -> bool:
        """Whether the operator knows the route's pods, and this is none of them."""
        return bool(self.known) and self.pod_name(pod) not in self.known
