"""A stateful service in a namespace, as its owner and its users drive it and see it from outside."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from pykube.exceptions import ObjectDoesNotExist
from pykube.objects import NamespacedAPIObject, Pod

from support.independent_client import IndependentClient, PodLink, StatefulRoute
from support.kubectl import Kubectl
from support.objects import encoded_name, pod_link, stateful_route
from support.waiting import eventually

#: What holds a pod back from being Ready, where the cluster's pods are kwok's.
NOT_READY = {"localcluster/ready": "false"}
READY = {"localcluster/ready": None}

SHUT_DOWN = {"statefulroute.io/routing-state": "Shutdown"}
DENY_NEW_CALLS = {"statefulroute.io/routing-state": "DenyNewCall"}
NO_ROUTING_STATE = {"statefulroute.io/routing-state": None}


class Service:
    """One service: a StatefulSet with its headless Service, its StatefulRoute, and its users' PodLinks.

    Nothing exists until it is asked for. Links are made and read by a client that is not the product's own.

    Args:
        kubectl: A kubectl in the service's namespace.
        client: The independent client.
        name: Of the StatefulSet, its Service and the route.
    """

    def __init__(self, kubectl: Kubectl, client: IndependentClient, name: str = "game") -> None:
        assert kubectl.namespace is not None
        self.kubectl = kubectl
        self.client = client
        self.name = name
        self.namespace = kubectl.namespace

    # What its owner does.

    def start(self, replicas: int = 3, **route: Any) -> None:
        """Make its pods and its route, and wait until the operator has seen all pods Ready."""
        self.create_pods(replicas)
        self.create_route(**route)
        self.await_pods(replicas)

    def create_pods(self, replicas: int = 3, **spec: Any) -> None:
        """Make its headless Service and its StatefulSet; does not wait for the pods."""
        self.client.create(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": self.name},
                "spec": {"clusterIP": "None", "selector": {"app": self.name}, "ports": [{"port": 7777}]},
            },
            self.namespace,
        )
        self.create_stateful_set(replicas, **spec)

    def create_stateful_set(self, replicas: int = 3, **spec: Any) -> None:
        """Make its StatefulSet; does not wait for the pods."""
        own = {"serviceName": self.name, "podManagementPolicy": "Parallel"}
        self.create_workload("StatefulSet", replicas, **own, **spec)

    def create_workload(self, kind: str, replicas: int = 3, **spec: Any) -> None:
        """Make a workload of its name of a kind of apps/v1; does not wait for the pods."""
        labels = {"app": self.name}
        common = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": self.pod_template()}
        workload = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": self.name}, "spec": common | spec}
        self.client.create(workload, self.namespace)

    def pod_template(self) -> dict[str, Any]:
        """What its pods are made from."""
        labels = {"app": self.name}
        return {
            "metadata": {"labels": labels},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "affinity": _anti_affinity(labels),
                "containers": [{"name": "room", "image": "room.invalid/room"}],
            },
        }

    def create_route(self, name: str | None = None, **spec: Any) -> None:
        """Make its StatefulRoute."""
        self.client.create(stateful_route(name or self.name, **spec), self.namespace)

    def edit_route(self, **spec: Any) -> None:
        """Change fields of its route's spec."""
        self.client.patch(StatefulRoute, self.name, self.namespace, {"spec": spec})

    def set_on_pod_lost(self, action: str, grace_seconds: int = 3600) -> None:
        """Say what becomes of the links of lost pods, and wait until the operator knows."""
        self.edit_route(onPodLost={"action": action, "graceSeconds": grace_seconds})
        self.await_observed()

    def scale(self, replicas: int) -> None:
        """Ask for this many pods."""
        self.kubectl.run("scale", "statefulset", self.name, f"--replicas={replicas}").expect_success()

    @contextmanager
    def pod_quota(self, number: int) -> Iterator[None]:
        """Its namespace has room for so many pods as long as the context lasts; at its end those that lack are made."""
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "pods"}}
        self.kubectl.create({**quota, "spec": {"hard": {"pods": str(number)}}})
        yield
        self.kubectl.run("delete", "resourcequota", "pods").expect_success()
        # Their controller tries ever more rarely, unless the StatefulSet changes.
        again = f"example.com/try={time.time_ns()}"
        self.kubectl.run("annotate", "statefulset", self.name, "--overwrite", again).expect_success()

    def annotate(self, pod: int | str, annotations: Mapping[str, str | None]) -> None:
        """Have a pod say something, or no longer say it."""
        self.client.patch(Pod, self.pod_name(pod), self.namespace, {"metadata": {"annotations": annotations}})

    def pod_name(self, pod: int | str) -> str:
        """The name of a pod that is given by its index or by its name."""
        return pod if isinstance(pod, str) else f"{self.name}-{pod}"

    def report(self, pod: int | str, load_state: int, waiting_tasks: int = 0, *, age_seconds: float = 0.0) -> None:
        """Have a pod report its load, as if it had done so a while ago."""
        time = datetime.now(UTC) - timedelta(seconds=age_seconds)
        figures = {"load-state": str(load_state), "waiting-tasks": str(waiting_tasks), "report-time": time.isoformat()}
        self.annotate(pod, {f"statefulroute.io/{name}": value for name, value in figures.items()})

    # What its users do.

    def link(self, uid: str, **spec: Any) -> str:
        """Create the link of a user; gives its name. Without a podIndex, the operator chooses."""
        item = pod_link(routeName=self.name, uid=uid, **spec)
        return str(self.client.create(item, self.namespace)["metadata"]["name"])

    def link_encoded(self, uid: str, **spec: Any) -> str:
        """Create the link of a user whose uid cannot stand in a name; gives its name."""
        item = pod_link(encoded_name(self.name, uid), routeName=self.name, uid=uid, **spec)
        return str(self.client.create(item, self.namespace)["metadata"]["name"])

    def link_all(self, uids: Iterable[str], **spec: Any) -> Sequence[str]:
        """Create the links of many users at the same time; gives their names."""
        return self.client.in_parallel(lambda uid: self.link(uid, **spec), uids)

    def link_each(self, specs: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
        """Create the links of many users at the same time, each as its spec says; gives their names."""
        return self.client.in_parallel(lambda uid: self.link(uid, **specs[uid]), specs)

    # What can be seen.

    def get(self, name: str) -> dict[str, Any]:
        """A link as it is now."""
        return self.client.get(PodLink, name, self.namespace)

    def links(self) -> list[dict[str, Any]]:
        """All links of the namespace as they are now."""
        return self.client.all(PodLink, self.namespace)

    def links_by_pod(self) -> dict[int | None, int]:
        """How many links each pod carries, by the links' specs."""
        return dict(Counter(link["spec"].get("podIndex") for link in self.links()))

    def route(self, name: str | None = None) -> dict[str, Any]:
        """Its route as it is now."""
        return self.client.get(StatefulRoute, name or self.name, self.namespace)

    def route_status(self, name: str | None = None) -> dict[str, Any]:
        """Its route's status as it is now; empty before anything was said."""
        return dict(self.route(name).get("status", {}))

    def pod_status(self, pod: int | str) -> dict[str, Any]:
        """What its route's status says of a pod; empty when it says nothing."""
        pods, name = self.route_status().get("pods", []), self.pod_name(pod)
        return next((each for each in pods if each["name"] == name), {})

    def condition(self, kind: str) -> tuple[str, str, str]:
        """What a condition of its route says: its status, its reason and its message."""
        condition = condition_of(self.route(), kind)
        return condition.get("status", ""), condition.get("reason", ""), condition.get("message", "")

    def annotations(self, kind: type[NamespacedAPIObject], name: str) -> dict[str, str]:
        """The annotations of an object."""
        return dict(self.client.get(kind, name, self.namespace)["metadata"].get("annotations", {}))

    def pod_ids(self) -> set[str]:
        """The unique ids of the pods of its namespace."""
        return {pod["metadata"]["uid"] for pod in self.client.all(Pod, self.namespace)}

    def events_of(self, name: str) -> list[tuple[str, str, str]]:
        """The events of a link: type, reason and note of each, in the order of their times."""
        events = [each for each in self.events() if each["regarding"]["name"] == name]
        return [(each["type"], each["reason"], each["note"]) for each in events]

    def events(self, kind: str = "PodLink") -> list[dict[str, Any]]:
        """All events of links of the namespace, or of another kind, in the order of their times."""
        listed = self.kubectl.get_json("events.events.k8s.io")["items"]
        ours = [each for each in listed if each["regarding"]["kind"] == kind]
        return sorted(ours, key=lambda event: str(event["eventTime"]))

    def exists(self, kind: type[NamespacedAPIObject], name: str) -> bool:
        """Whether there is such an object."""
        try:
            self.client.get(kind, name, self.namespace)
        except ObjectDoesNotExist:
            return False
        return True

    # What is waited for.

    def await_link(self, name: str, phase: str, reason: str) -> dict[str, Any]:
        """Wait until the operator has said this of a link; gives its status."""
        self._await(
            lambda: has_status(self.get(name), phase, reason), f"{name} is {phase} ({reason})", lambda: self.get(name)
        )
        return dict(self.get(name)["status"])

    def await_bound(self, name: str) -> dict[str, Any]:
        """Wait until a link is bound; gives its status."""
        return self.await_link(name, "Bound", "Bound")

    def await_moved(self, name: str, left: int | str) -> dict[str, Any]:
        """Wait until a link has left a lost pod and is bound to another; gives its status."""
        field = "podName" if isinstance(left, str) else "podIndex"
        eventually(lambda: self.get(name)["spec"].get(field) not in {left, None}, f"{name} has left pod {left}")
        status = self.await_bound(name)
        assert (status["previous"][field], status["previous"]["reason"]) == (left, "PodLost")
        return status

    def await_all_bound(self, number: int, *, seconds: float = 60.0) -> None:
        """Wait until the namespace has this many links and each is bound."""
        eventually(
            lambda: [is_bound(link) for link in self.links()] == [True] * number,
            f"all {number} links are bound",
            seconds=seconds,
        )

    def await_deleted(self, *names: str) -> None:
        """Wait until none of these links is there."""
        eventually(lambda: not any(self.exists(PodLink, name) for name in names), f"{', '.join(names)} are gone")

    def await_events(self, name: str, *told: tuple[str, str, str]) -> None:
        """Wait until the events of a link are these."""
        self._await(
            lambda: self.events_of(name) == [*told], f"the events of {name} are {told}", lambda: self.events_of(name)
        )

    def await_observed(self) -> None:
        """Wait until the route's status was made for its present spec."""
        self.await_status(observedGeneration=self.route()["metadata"]["generation"])

    def await_pods(self, pods: int) -> None:
        """Wait until the operator has seen that there are this many pods, and that all are Ready."""
        self.await_status(replicas=pods, readyReplicas=pods)

    def await_status(self, **fields: Any) -> None:
        """Wait until the route's status says this; None stands for a field that is absent."""
        self._await(
            lambda: _matches(self.route_status(), fields), f"the route's status says {fields}", self.route_status
        )

    def await_pod(self, pod: int | str, **fields: Any) -> None:
        """Wait until the route's status says this of a pod; None stands for a field that is absent."""
        self._await(
            lambda: _matches(self.pod_status(pod), fields),
            f"the route's status says {fields} of pod {pod}",
            self.route_status,
        )

    def await_condition(self, kind: str, *says: str) -> None:
        """Wait until a condition of the route says this, beginning with its status: all of it, or some."""
        self._await(
            lambda: self.condition(kind)[: len(says)] == says, f"its condition {kind} says {says}", self.route_status
        )

    def await_annotations(self, kind: type[NamespacedAPIObject], name: str, **notes: str | None) -> None:
        """Wait until the operator has noted this on an object; None stands for a note that is not there."""
        expected = {f"statefulroute.io/{note.replace('_', '-')}": value for note, value in notes.items()}
        self._await(
            lambda: _matches(self.annotations(kind, name), expected),
            f"it is noted on {name}: {expected}",
            lambda: self.annotations(kind, name),
        )

    def _await(self, condition: Callable[[], bool], what: str, present: Callable[[], object]) -> None:
        try:
            eventually(condition, what)
        except TimeoutError as late:
            raise AssertionError(f"{late}; it is: {present()}") from None


def _anti_affinity(labels: dict[str, str]) -> dict[str, Any]:
    """Pods of these labels go to nodes of their own, as far as there are enough."""
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}
    return {"podAntiAffinity": preferred}


def condition_of(item: dict[str, Any], kind: str = "Ready") -> dict[str, Any]:
    """A condition of an object; empty when it has none of this type."""
    conditions = item.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def has_status(link: dict[str, Any], phase: str, reason: str) -> bool:
    """Whether the operator has said this of the link's present spec."""
    status = link.get("status", {})
    return (
        status.get("phase") == phase
        and condition_of(link).get("reason") == reason
        and status.get("observedGeneration") == link["metadata"]["generation"]
    )


def is_bound(link: dict[str, Any]) -> bool:
    """Whether the link is bound, as its present spec asks."""
    return has_status(link, "Bound", "Bound")


def _matches(status: dict[str, Any], fields: dict[str, Any]) -> bool:
    return all(status.get(field) == value for field, value in fields.items())
