"""Accesses the cluster by pykube, a client that shares no code with the product."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pykube
from pykube.objects import Deployment, NamespacedAPIObject, Pod, ReplicaSet, StatefulSet
from pykube.query import Query

from statefulroute.api.group import API_VERSION, GROUP
from support.kubectl import Object

Input = TypeVar("Input")
Output = TypeVar("Output")

WORKERS = 16

_TIMEOUT_SECONDS = 30


class PodLink(NamespacedAPIObject):
    """A PodLink, by the facts that kubectl knows of its kind."""

    version = API_VERSION
    kind = "PodLink"
    endpoint = "podlinks"


class StatefulRoute(NamespacedAPIObject):
    """A StatefulRoute, by the facts that kubectl knows of its kind."""

    version = API_VERSION
    kind = "StatefulRoute"
    endpoint = "statefulroutes"


class Event(NamespacedAPIObject):
    """An event of the present API group."""

    version = "events.k8s.io/v1"
    kind = "Event"
    endpoint = "events"


KINDS: dict[str, type[NamespacedAPIObject]] = {
    kind.kind: kind for kind in (PodLink, StatefulRoute, StatefulSet, Deployment, ReplicaSet, Pod, pykube.Service)
}


@dataclass(frozen=True, slots=True)
class Request:
    """A kind of request in the API server's metrics."""

    verb: str
    resource: str
    subresource: str
    code: int


class IndependentClient:
    """Reads and writes the objects of a cluster for tests. Thread-safe."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(WORKERS)
        """Its threads keep their connections; they start when they are needed."""
        self._uses_pool = threading.Lock()

    @property
    def http(self) -> pykube.HTTPClient:
        """The connection of the calling thread."""
        if not hasattr(self._own, "client"):
            self._own.client = self.new_http_client()
        return self._own.client

    def new_http_client(self, timeout: float = _TIMEOUT_SECONDS) -> pykube.HTTPClient:
        """Returns a new connection, without compression, which costs the API server more than it saves."""
        client = pykube.HTTPClient(pykube.KubeConfig.from_file(str(self._kubeconfig)), timeout=timeout)
        client.session.headers["Accept-Encoding"] = "identity"
        client.session.trust_env = False  # which looks for proxies and passwords at each request
        return client

    def create(self, item: Object, namespace: str) -> dict[str, Any]:
        """Creates an object and returns it as stored.

        Raises:
            pykube.exceptions.HTTPError: The API server refused it.
        """
        namespaced = {**item, "metadata": {**item["metadata"], "namespace": namespace}}
        created = KINDS[str(item["kind"])](self.http, namespaced)
        created.create()
        return dict(created.obj)

    def get(self, kind: type[NamespacedAPIObject], name: str, namespace: str) -> dict[str, Any]:
        """Returns the object of this name."""
        return dict(self._query(kind, namespace).get_by_name(name).obj)

    def all(self, kind: type[NamespacedAPIObject], namespace: str) -> list[dict[str, Any]]:
        """Returns all objects of a kind in a namespace."""
        return [dict(each.obj) for each in self._query(kind, namespace)]

    def count_everywhere(self, kind: type[NamespacedAPIObject]) -> int:
        """Returns the number of the objects of a kind in all namespaces."""
        return len(Query(self.http, kind, pykube.all))

    def _query(self, kind: type[NamespacedAPIObject], namespace: str) -> Query:
        # `kind.objects` is not thread-safe: all kinds share one manager, which stores the kind.
        return Query(self.http, kind, namespace)

    def patch(self, kind: type[NamespacedAPIObject], name: str, namespace: str, change: Object) -> None:
        """Sends a merge patch."""
        self._named(kind, name, namespace).patch(change)

    def patch_status(self, kind: type[NamespacedAPIObject], name: str, namespace: str, change: Object) -> None:
        """Sends a merge patch of the status."""
        self._named(kind, name, namespace).patch({"status": change}, subresource="status")

    def delete(self, kind: type[NamespacedAPIObject], name: str, namespace: str) -> None:
        """Deletes the object of this name without waiting for its removal."""
        self._named(kind, name, namespace).delete()

    def delete_all(self, kind: type[NamespacedAPIObject], namespace: str) -> None:
        """Deletes all objects of a kind in a namespace without waiting for their removal."""
        response = self.http.delete(version=kind.version, namespace=namespace, url=kind.endpoint)
        self.http.raise_for_status(response)

    def _named(self, kind: type[NamespacedAPIObject], name: str, namespace: str) -> NamespacedAPIObject:
        return kind(self.http, {"metadata": {"name": name, "namespace": namespace}})

    def in_parallel(
        self, work: Callable[[Input], Output], inputs: Iterable[Input], workers: int = WORKERS
    ) -> Sequence[Output]:
        """Calls a function for many inputs with this many threads, and returns the results in order."""
        if workers == WORKERS and self._uses_pool.acquire(blocking=False):
            futures = [self._pool.submit(work, each) for each in inputs]
            try:
                return [future.result() for future in futures]
            finally:
                for future in futures:
                    future.cancel()
                wait(futures)
                self._uses_pool.release()
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(work, inputs))

    def terminating_namespaces(self) -> list[str]:
        """Returns the namespaces that are being deleted."""
        return [each.name for each in pykube.Namespace.objects(self.http) if "deletionTimestamp" in each.metadata]

    def leftovers(self) -> list[str]:
        """Returns the links and routes in namespaces that are being deleted: an operator may still work on them."""
        ending = set(self.terminating_namespaces())
        everywhere = [kind.objects(self.http).filter(namespace=pykube.all) for kind in (PodLink, StatefulRoute)]
        return [
            f"{each.namespace}/{each.name}" for objects in everywhere for each in objects if each.namespace in ending
        ]

    def request_counts(self, *groups: str) -> Counter[Request]:
        """Returns the number of requests that the API server answered for these API groups, by its metrics.

        They include the requests of every client; only the operator and the tests use this project's group.
        """
        response = self.http.session.get(f"{self.http.url}/metrics", timeout=_TIMEOUT_SECONDS)
        response.raise_for_status()
        counted: Counter[Request] = Counter()
        for line in response.text.splitlines():
            if line.startswith("apiserver_request_total{") and any(f'group="{group}"' in line for group in groups):
                labels, _, number = line.removeprefix("apiserver_request_total{").partition("} ")
                fields = dict(_label(each) for each in labels.split(","))
                request = Request(fields["verb"], fields["resource"], fields["subresource"], int(fields["code"]))
                counted[request] += int(float(number))
        return counted

    def count_requests(self, *groups: str) -> "RequestCount":
        """Starts to count the requests for this project's group, or for these groups."""
        return RequestCount(self, groups or (GROUP,))


class RequestCount:
    """The requests since a moment, by the API server's metrics."""

    def __init__(self, client: IndependentClient, groups: Sequence[str]) -> None:
        self._client = client
        self._groups = groups
        self._before = client.request_counts(*groups)

    def total(self, verb: str, resource: str, subresource: str = "", code: int | None = None) -> int:
        """Returns the number of requests of a kind, with any code unless one is given."""
        return sum(
            number
            for request, number in self._made().items()
            if (request.verb, request.resource, request.subresource) == (verb, resource, subresource)
            and code in {None, request.code}
        )

    def patches(self) -> dict[str, int]:
        """Returns the number of patches of each resource and subresource, successful or not."""
        counts = Counter[str]()
        for request, number in self._made().items():
            if request.verb in {"PATCH", "PUT", "APPLY"}:
                counts[f"{request.resource}/{request.subresource}".rstrip("/")] += number
        return dict(counts)

    def by_resource(self, *verbs: str) -> dict[str, int]:
        """Returns the number of requests with these verbs for each resource and subresource, successful or not."""
        counts = Counter[str]()
        for request, number in self._made().items():
            if request.verb in verbs:
                counts[f"{request.verb} {request.resource}/{request.subresource}".rstrip("/")] += number
        return dict(counts)

    def _made(self) -> Counter[Request]:
        return self._client.request_counts(*self._groups) - self._before


def _label(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value.strip('"')
