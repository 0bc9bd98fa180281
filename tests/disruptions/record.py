"""What happened in a run: every version of the links, pods, workload and route, and every request."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from support.link_recorder import Version

Versions = Sequence[Version]

#: How long after a change an observer may learn of it, in seconds.
LAG_SECONDS = 3.0

#: The default of `spec.disruption.deadlineSeconds`.
DEADLINE_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a user: a look-up, and a request to the address in its answer.

    Attributes:
        link: the name of the user's link.
        started: monotonic seconds.
        ended: monotonic seconds.
        answered_by: the name of the pod that answered; empty if none did.
        error: why none did.
    """

    link: str
    started: float
    ended: float
    answered_by: str = ""
    error: str = ""


class Removal(NamedTuple):
    """The removal of a pod.

    Attributes:
        pod: its name.
        revision: the revision of the store at which it was decided: the scale-down, or the eviction.
        deleted: the revision at which the pod was deleted.
    """

    pod: str
    revision: int
    deleted: int


class ClosingPod(NamedTuple):
    """A closing pod in the status of the route.

    Attributes:
        reason: why it is closing.
        deadline: until when it keeps its users: by the start in the status, and by the present spec.
    """

    reason: str
    deadline: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The record of a run. The revisions of all kinds are of one store, so they have one order.

    Attributes:
        links: the versions of each link.
        pods: the versions of each pod.
        workload: the versions of the StatefulSet or Deployment.
        route: the versions of the route.
        requests: the requests.
        left: the links that their users have deleted, and the time before it, in monotonic seconds.
        max_unavailable: the setting of the rollout.
        clock_offset: the difference between the clock's time and monotonic seconds.
    """

    links: Mapping[str, Versions] = field(default_factory=dict)
    pods: Mapping[str, Versions] = field(default_factory=dict)
    workload: Versions = ()
    route: Versions = ()
    requests: Sequence[Request] = ()
    left: Mapping[str, float] = field(default_factory=dict)
    max_unavailable: int = 1
    clock_offset: float = 0.0

    @property
    def is_deployment(self) -> bool:
        """Whether the workload is a Deployment, whose controller chooses the pods that it removes."""
        return any(each.object.get("kind") == "Deployment" for each in self.workload)  # items of lists have no kind

    def links_on(self, pod: str, revision: int) -> list[str]:
        """Returns the links on a pod at a revision."""
        versions = ((name, at(each, revision)) for name, each in self.links.items())
        return [name for name, each in versions if each and each.event != "DELETED" and pod_of(each) == pod]

    def removals(self) -> Iterator[Removal]:
        """Yields the removals of pods."""
        for name, versions in self.pods.items():
            seen = set[str]()
            for version in versions:
                metadata = version.object["metadata"]
                is_ending = "deletionTimestamp" in metadata or version.event == "DELETED"
                if is_ending and metadata["uid"] not in seen:
                    seen.add(metadata["uid"])
                    yield Removal(name, self._decided_at(name, version.resource_version), version.resource_version)

    def _decided_at(self, pod: str, deleted: int) -> int:
        """Returns when the workload was scaled below a pod that was deleted; if it was not, when it was deleted."""
        if self.is_deployment:
            return self._last_scale_down(pod, deleted)
        decided, index = deleted, int(pod.rpartition("-")[2])
        for version in reversed(self.workload):
            if version.resource_version < deleted:
                if replicas(version) > index:
                    break
                decided = version.resource_version
        return decided

    def _last_scale_down(self, pod: str, deleted: int) -> int:
        """Returns when a Deployment was scaled down the last time while a pod was closing that was deleted later."""
        for before, after in reversed(list(pairwise(self.workload))):
            revision = after.resource_version
            if revision < deleted and replicas(after) < replicas(before) and pod in self.closing(revision):
                return revision
        return deleted

    def closing(self, revision: int) -> dict[str, ClosingPod]:
        """Returns the closing pods by the status of the route that was stored before a revision."""
        version = at(self.route, revision - 1)
        return closing_pods(version.object) if version else {}


def at(versions: Versions, revision: int) -> Version | None:
    """Returns the version that was present at a revision; None if there was none."""
    number = bisect_right(versions, revision, key=lambda each: each.resource_version)
    return versions[number - 1] if number else None


def pod_of(link: Version) -> str | None:
    """Returns the name of the pod of a link; None if it has none."""
    spec = link.object["spec"]
    return f"game-{spec['podIndex']}" if "podIndex" in spec else spec.get("podName")


def replicas(workload: Version) -> int:
    """Returns the desired number of pods of a workload."""
    return int(workload.object["spec"]["replicas"])


def closing_pods(route: Mapping[str, Any]) -> dict[str, ClosingPod]:
    """Returns the closing pods in the status of a route."""
    pods = [pod for pod in route.get("status", {}).get("pods", ()) if "closing" in pod]
    seconds = timedelta(seconds=route["spec"].get("disruption", {}).get("deadlineSeconds", DEADLINE_SECONDS))
    return {
        pod["name"]: ClosingPod(pod["closing"]["reason"], datetime.fromisoformat(pod["closing"]["since"]) + seconds)
        for pod in pods
    }
