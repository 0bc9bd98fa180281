"""A stateful service in a namespace, with the operations of its owner and of its users."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from pykube.exceptions import ObjectDoesNotExist
from pykube.objects import NamespacedAPIObject, Pod, StatefulSet

from support.independent_client import Event, IndependentClient, PodLink, StatefulRoute
from support.kubectl import Kubectl
from support.objects import encoded_name, pod_link, stateful_route
from support.waiting import eventually

#: Keeps a pod from being Ready where kwok runs the cluster's pods.
NOT_READY = {"localcluster/ready": "false"}
READY = {"localcluster/ready": None}

SHUT_DOWN = {"statefulroute.io/routing-state": "Shutdown"}
DENY_NEW_CALLS = {"statefulroute.io/routing-state": "DenyNewCall"}
NO_ROUTING_STATE = {"statefulroute.io/routing-state": None}


class Service:
    """A service: a StatefulSet with its headless Service, its StatefulRoute, and its users' PodLinks.

    Nothing exists until a method creates it. Links are created and read by a client that is independent of the product.

    Args:
        kubectl: A kubectl in the service's namespace.
        client: The independent client.
        name: The name of the StatefulSet, its Service and the route.
    """

    def __init__(self, kubectl: Kubectl, client: IndependentClient, name: str = "game") -> None:
        assert kubectl.namespace is not None
        self.kubectl = kubectl
        self.client = client
        self.name = name
        self.namespace = kubectl.namespace

    # Operations of the owner.

    def start(self, replicas: int = 3, **route: Any) -> None:
        """Creates the pods and the route, and waits until the operator observes that all pods are Ready."""
        self.create_pods(replicas)
        self.create_route(**route)
        self.await_pods(replicas)

    def create_pods(self, replicas: int = 3, **spec: Any) -> None:
        """Creates the headless Service and the StatefulSet without waiting for pods."""
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
        """Creates the StatefulSet without waiting for pods."""
        own = {"serviceName": self.name, "podManagementPolicy": "Parallel"}
        self.create_workload("StatefulSet", replicas, **own, **spec)

    def create_workload(self, kind: str, replicas: int = 3, **spec: Any) -> None:
        """Creates a workload of this kind of apps/v1 without waiting for pods."""
        labels = {"app": self.name}
        common = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": self.pod_template()}
        workload = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": self.name}, "spec": common | spec}
        self.client.create(workload, self.namespace)

    def pod_template(self) -> dict[str, Any]:
        """Returns the pod template."""
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
        """Creates the StatefulRoute."""
        self.client.create(stateful_route(name or self.name, **spec), self.namespace)

    def edit_route(self, **spec: Any) -> None:
        """Changes fields of the route's spec."""
        self.client.patch(StatefulRoute, self.name, self.namespace, {"spec": spec})

    def set_on_pod_lost(self, action: str, grace_seconds: int = 3600) -> None:
        """Sets `onPodLost` of the route, and waits until the operator observes it."""
        self.edit_route(onPodLost={"action": action, "graceSeconds": grace_seconds})
        self.await_observed()

    def scale(self, replicas: int) -> None:
        """Scales the StatefulSet."""
        self.client.patch(StatefulSet, self.name, self.namespace, {"spec": {"replicas": replicas}})

    def scale_route(self, replicas: int) -> None:
        """Scales the route, as users and scalers do."""
        self.kubectl.run("scale", "statefulroute", self.name, f"--replicas={replicas}").expect_success()

    @contextmanager
    def pod_quota(self, number: int) -> Iterator[None]:
        """Limits the number of pods in the namespace; missing pods are created at the end of the context."""
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "pods"}}
        self.kubectl.create({**quota, "spec": {"hard": {"pods": str(number)}}})
        yield
        self.kubectl.run("delete", "resourcequota", "pods").expect_success()
        # The controller retries with growing delays, unless the StatefulSet changes.
        again = f"example.com/try={time.time_ns()}"
        self.kubectl.run("annotate", "statefulset", self.name, "--overwrite", again).expect_success()

    def annotate(self, pod: int | str, annotations: Mapping[str, str | None]) -> None:
        """Sets annotations of a pod; None removes one."""
        self.client.patch(Pod, self.pod_name(pod), self.namespace, {"metadata": {"annotations": annotations}})

    def pod_name(self, pod: int | str) -> str:
        """Returns the name of a pod that is given by its index or name."""
        return pod if isinstance(pod, str) else f"{self.name}-{pod}"

    def pod_id(self, pod: int | str) -> str:
        """Returns the uid of a pod."""
        return str(self.client.get(Pod, self.pod_name(pod), self.namespace)["metadata"]["uid"])

    def replace_pod(self, pod: int) -> None:
        """Deletes a pod of the StatefulSet, and waits until another one of its name is Ready."""
        before, name = self.pod_id(pod), self.pod_name(pod)
        self.kubectl.run("delete", "pod", name, "--force", "--grace-period=0", "--wait=false").expect_success()
        eventually(lambda: self.exists(Pod, name) and self.pod_id(pod) != before, f"another pod is called {name}")
        self.kubectl.run("wait", "pod", name, "--for=condition=Ready", "--timeout=60s").expect_success()

    def report(self, pod: int | str, load_state: int, waiting_tasks: int = 0, *, age_seconds: float = 0.0) -> None:
        """Writes a load report of a pod, of this age."""
        time = datetime.now(UTC) - timedelta(seconds=age_seconds)
        figures = {"load-state": str(load_state), "waiting-tasks": str(waiting_tasks), "report-time": time.isoformat()}
        self.annotate(pod, {f"statefulroute.io/{name}": value for name, value in figures.items()})

    # Operations of users.

    def link(self, uid: str, **spec: Any) -> str:
        """Creates the link of a user and returns its name. Without `podIndex`, the operator chooses the pod."""
        item = pod_link(routeName=self.name, uid=uid, **spec)
        return str(self.client.create(item, self.namespace)["metadata"]["name"])

    def link_encoded(self, uid: str, **spec: Any) -> str:
        """Creates the link of a user whose uid is not valid in a name, and returns the link's name."""
        item = pod_link(encoded_name(self.name, uid), routeName=self.name, uid=uid, **spec)
        return str(self.client.create(item, self.namespace)["metadata"]["name"])

    def link_all(self, uids: Iterable[str], **spec: Any) -> Sequence[str]:
        """Creates the links of many users in parallel, and returns their names."""
        return self.client.in_parallel(lambda uid: self.link(uid, **spec), uids)

    def link_each(self, specs: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
        """Creates the links of many users in parallel, each with its own spec, and returns their names."""
        return self.client.in_parallel(lambda uid: self.link(uid, **specs[uid]), specs)

    # Observations.

    def get(self, name: str) -> dict[str, Any]:
        """Returns a link as it is now."""
        return self.client.get(PodLink, name, self.namespace)

    def links(self) -> list[dict[str, Any]]:
        """Returns all links of the namespace as they are now."""
        return self.client.all(PodLink, self.namespace)

    def links_by_pod(self) -> dict[int | None, int]:
        """Returns the number of links on each pod, by the links' specs."""
        return dict(Counter(link["spec"].get("podIndex") for link in self.links()))

    def route(self, name: str | None = None) -> dict[str, Any]:
        """Returns the route as it is now."""
        return self.client.get(StatefulRoute, name or self.name, self.namespace)

    def route_status(self, name: str | None = None) -> dict[str, Any]:
        """Returns the route's status as it is now; empty before the operator wrote one."""
        return dict(self.route(name).get("status", {}))

    def pod_status(self, pod: int | str) -> dict[str, Any]:
        """Returns the status of a pod in the route's status; empty if it is not listed."""
        pods, name = self.route_status().get("pods", []), self.pod_name(pod)
        return next((each for each in pods if each["name"] == name), {})

    def condition(self, kind: str) -> tuple[str, str, str]:
        """Returns the status, reason and message of a condition of the route."""
        condition = condition_of(self.route(), kind)
        return condition.get("status", ""), condition.get("reason", ""), condition.get("message", "")

    def annotations(self, kind: type[NamespacedAPIObject], name: str) -> dict[str, str]:
        """Returns the annotations of an object."""
        return dict(self.client.get(kind, name, self.namespace)["metadata"].get("annotations", {}))

    def pod_ids(self) -> set[str]:
        """Returns the uids of the pods in the namespace."""
        return {pod["metadata"]["uid"] for pod in self.client.all(Pod, self.namespace)}

    def events_of(self, name: str) -> list[tuple[str, str, str]]:
        """Returns type, reason and note of a link's events, in the order of their times."""
        events = [each for each in self.events() if each["regarding"]["name"] == name]
        return [(each["type"], each["reason"], each["note"]) for each in events]

    def events(self, kind: str = "PodLink") -> list[dict[str, Any]]:
        """Returns all events of links, or of another kind, in the order of their times."""
        listed = self.client.all(Event, self.namespace)
        ours = [each for each in listed if each["regarding"]["kind"] == kind]
        return sorted(ours, key=lambda event: str(event["eventTime"]))

    def exists(self, kind: type[NamespacedAPIObject], name: str) -> bool:
        """Returns whether an object exists."""
        try:
            self.client.get(kind, name, self.namespace)
        except ObjectDoesNotExist:
            return False
        return True

    # Waiting.

    def await_link(self, name: str, phase: str, reason: str) -> dict[str, Any]:
        """Waits until a link has this phase and reason for its present spec, and returns its status."""
        self._await(
            lambda: has_status(self.get(name), phase, reason), f"{name} is {phase} ({reason})", lambda: self.get(name)
        )
        return dict(self.get(name)["status"])

    def await_bound(self, name: str) -> dict[str, Any]:
        """Waits until a link is bound, and returns its status."""
        return self.await_link(name, "Bound", "Bound")

    def await_links(self, names: Collection[str], phase: str, reason: str) -> None:
        """Waits until each of these links has this phase and reason for its present spec."""

        def waiting() -> set[str]:
            return {*names} - {each["metadata"]["name"] for each in self.links() if has_status(each, phase, reason)}

        self._await(lambda: not waiting(), f"{len(names)} links are {phase} ({reason})", waiting)

    def await_moved(self, name: str, previous_pod: int | str) -> dict[str, Any]:
        """Waits until a link moved from a lost pod to another, and returns its status."""
        field = "podName" if isinstance(previous_pod, str) else "podIndex"
        eventually(
            lambda: self.get(name)["spec"].get(field) not in {previous_pod, None}, f"{name} left pod {previous_pod}"
        )
        status = self.await_bound(name)
        assert (status["previous"][field], status["previous"]["reason"]) == (previous_pod, "PodLost")
        return status

    def await_all_bound(self, number: int, *, seconds: float = 60.0) -> None:
        """Waits until the namespace has this many links and each is bound."""
        eventually(
            lambda: [is_bound(link) for link in self.links()] == [True] * number,
            f"all {number} links are bound",
            seconds=seconds,
        )

    def await_deleted(self, *names: str) -> None:
        """Waits until none of these links exists."""
        eventually(lambda: not any(self.exists(PodLink, name) for name in names), f"{', '.join(names)} are deleted")

    def await_events(self, name: str, *expected: tuple[str, str, str]) -> None:
        """Waits until a link has these events."""
        self._await(
            lambda: self.events_of(name) == [*expected],
            f"the events of {name} are {expected}",
            lambda: self.events_of(name),
        )

    def await_observed(self) -> None:
        """Waits until the route's status is for its present spec."""
        self.await_status(observedGeneration=self.route()["metadata"]["generation"])

    def await_pods(self, pods: int) -> None:
        """Waits until the operator observes this many pods, all Ready."""
        self.await_status(replicas=pods, readyReplicas=pods)

    def await_status(self, **fields: Any) -> None:
        """Waits until the route's status has these fields; None means that a field is absent."""
        self._await(
            lambda: _matches(self.route_status(), fields), f"the route's status has {fields}", self.route_status
        )

    def await_pod(self, pod: int | str, **fields: Any) -> None:
        """Waits until a pod's status in the route's status has these fields; None means that a field is absent."""
        self._await(
            lambda: _matches(self.pod_status(pod), fields),
            f"the route's status has {fields} for pod {pod}",
            self.route_status,
        )

    def await_closing(self, pod: int | str, reason: str = "ScaleDown") -> dict[str, Any]:
        """Waits until a pod is shown as closing, and returns how."""
        self._await(lambda: "closing" in self.pod_status(pod), f"{pod} is closing", self.route_status)
        status = self.pod_status(pod)
        assert (status["routingState"], status["closing"]["reason"]) == ("DenyNewCall", reason)
        return dict(status["closing"])

    def await_condition(self, kind: str, *expected: str) -> None:
        """Waits until a condition of the route has this status, reason and message; trailing values may be omitted."""
        self._await(
            lambda: self.condition(kind)[: len(expected)] == expected,
            f"its condition {kind} is {expected}",
            self.route_status,
        )

    def await_annotations(self, kind: type[NamespacedAPIObject], name: str, **annotations: str | None) -> None:
        """Waits until an object has these annotations; None means that one is absent."""
        expected = {f"statefulroute.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
        self._await(
            lambda: _matches(self.annotations(kind, name), expected),
            f"the annotations of {name} are {expected}",
            lambda: self.annotations(kind, name),
        )

    def _await(self, condition: Callable[[], bool], what: str, present: Callable[[], object]) -> None:
        try:
            eventually(condition, what)
        except TimeoutError as late:
            raise AssertionError(f"{late}; it is: {present()}") from None


def _anti_affinity(labels: dict[str, str]) -> dict[str, Any]:
    """Returns an affinity that prefers nodes without other pods of these labels."""
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}
    return {"podAntiAffinity": preferred}


def condition_of(item: dict[str, Any], kind: str = "Ready") -> dict[str, Any]:
    """Returns a condition of an object; empty if it has none of this type."""
    conditions = item.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def has_status(link: dict[str, Any], phase: str, reason: str) -> bool:
    """Returns whether the link has this phase and reason for its present spec."""
    status = link.get("status", {})
    return (
        status.get("phase") == phase
        and condition_of(link).get("reason") == reason
        and status.get("observedGeneration") == link["metadata"]["generation"]
    )


def is_bound(link: dict[str, Any]) -> bool:
    """Returns whether the link is bound for its present spec."""
    return has_status(link, "Bound", "Bound")


def _matches(status: dict[str, Any], fields: dict[str, Any]) -> bool:
    return all(status.get(field) == value for field, value in fields.items())
