"""`release`: take the operator's marks off the cluster, so that it can be removed and nothing waits for it."""

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec

from statefulroute.api.annotations import POD_DELETION_COST, WEIGHTED_LOAD
from statefulroute.api.group import FINALIZER, STATEFUL_ROUTE
from statefulroute.cli.cluster import Cluster, CommandError, Object
from statefulroute.cli.objects import with_dry_run
from statefulroute.cli.output.messages import print_message
from statefulroute.cluster.codec import ROUTES
from statefulroute.cluster.errors import APIError, ConflictError, NotFoundError
from statefulroute.cluster.scales import ScaleReader
from statefulroute.domain.annotations import WORKLOAD_ANNOTATIONS
from statefulroute.domain.route import Route

_TRIES = 12
_PAUSE_SECONDS = 0.5

#: An operator that still runs puts its finalizer back as soon as the watch tells it.
_SETTLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """The Deployment of an operator.

    Attributes:
        namespace: its namespace.
        name: its name.
    """

    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "Deployment":
        """Read `NAMESPACE/NAME`.

        Raises:
            SentenceError: it is not of this form.
        """
        namespace, slash, name = text.partition("/")
        if not (namespace and slash and name) or "/" in name:
            raise CommandError(f"{text!r} names no Deployment: write NAMESPACE/NAME")
        return cls(namespace, name)

    @property
    def path(self) -> str:
        """Where it is."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.name}"


async def release(cluster: Cluster, operator: Deployment | None, timeout_seconds: float, *, dry_run: bool) -> int:
    """Take the operator's finalizer off StatefulRoutes, and its notes off pods and workloads; gives the exit code.

    Args:
        cluster: where.
        operator: whom to stop first.
        timeout_seconds: how long the operator may take to stop.
        dry_run: have the API server judge the writes, and keep nothing of them.

    Raises:
        SentenceError: the operator does not stop, or one that still runs has put its finalizer back.
    """
    writing = with_dry_run(cluster, dry_run=dry_run)
    if operator is not None:
        await _stop(writing, operator, 0.0 if dry_run else timeout_seconds)
    items = [item async for item in cluster.objects(cluster.path(STATEFUL_ROUTE))]
    routes, pods, workloads = 0, 0, 0
    for item in items:
        if await _release_route(writing, item):
            routes += 1
            print_message(f"statefulroute.{STATEFUL_ROUTE.plural}/{item['metadata']['name']} released{_dry(dry_run)}")
    if routes and not dry_run:
        await _await_that_it_lasts(cluster)
    # The notes come last: an operator that still runs would write some of them anew.
    scales = ScaleReader(writing.client)
    for route in map(ROUTES.convert, items):
        workloads += await _release_workload(writing, scales, route)
        pods += await _release_pods(writing, route)
    told = f"{_number(routes, 'route')}, {_number(pods, 'pod')} and {_number(workloads, 'workload')}"
    print_message(f"{told} released{_dry(dry_run)}")
    return 0


async def _stop(cluster: Cluster, operator: Deployment, timeout_seconds: float) -> None:
    """Scale an operator's Deployment to nothing, and wait until none of its pods is left."""
    try:
        found = await cluster.get(operator.path)
    except NotFoundError:
        print_message(f"note: there is no Deployment {operator.namespace}/{operator.name} to stop", err=True)
        return
    await cluster.client.merge_patch(f"{operator.path}/scale", msgspec.json.encode({"spec": {"replicas": 0}}))
    labels: dict[str, str] = found["spec"]["selector"].get("matchLabels", {})
    # A pod that was evicted is left behind as Failed: it runs no more, and nobody deletes it.
    selection = {
        "labelSelector": ",".join(f"{name}={value}" for name, value in labels.items()),
        "fieldSelector": "status.phase!=Failed,status.phase!=Succeeded",
    }
    pods = f"/api/v1/namespaces/{operator.namespace}/pods"
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while timeout_seconds and (left := [pod["metadata"]["name"] async for pod in cluster.objects(pods, selection)]):
        if asyncio.get_running_loop().time() > deadline:
            raise CommandError(
                f"the operator has not stopped within {timeout_seconds:g} s: {', '.join(left)} is still there in "
                f"namespace {operator.namespace!r}; delete it, and run the command again"
            )
        await asyncio.sleep(_PAUSE_SECONDS)


async def _release_route(cluster: Cluster, item: Object) -> bool:
    """Take the finalizer off a route, if it bears it."""
    metadata = item["metadata"]
    within = Cluster(cluster.client, metadata["namespace"])
    path = within.path(STATEFUL_ROUTE, metadata["name"])
    for _ in range(_TRIES):
        finalizers = metadata.get("finalizers", [])
        if FINALIZER not in finalizers:
            return False
        rest = [each for each in finalizers if each != FINALIZER]
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": rest}}
        try:
            await cluster.client.merge_patch(path, msgspec.json.encode(body))
        except ConflictError:
            metadata = (await cluster.get(path))["metadata"]
        except NotFoundError:
            return False
        else:
            return True
    raise CommandError(f"{metadata['name']} was changed by others {_TRIES} times in a row: try again")


async def _release_workload(cluster: Cluster, scales: ScaleReader, route: Route) -> int:
    """Take the notes off a route's workload; gives how many bore some."""
    key = route.workload_key
    try:
        path = await scales.path(key.namespace, key.api_version, key.kind, key.name)
        return await _take_notes(cluster, path, await cluster.get(path), WORKLOAD_ANNOTATIONS)
    except (NotFoundError, APIError) as error:
        if not isinstance(error, NotFoundError):
            print_message(f"note: {key.kind} {key.namespace}/{key.name} keeps its notes: {error}", err=True)
        return 0


async def _release_pods(cluster: Cluster, route: Route) -> int:
    """Take the notes off the pods that a route's status names; gives how many bore some."""
    notes = (WEIGHTED_LOAD, POD_DELETION_COST) if route.has_deletion_cost else (WEIGHTED_LOAD,)
    number = 0
    for pod in route.status.pods:
        path = f"/api/v1/namespaces/{route.namespace}/pods/{pod.name}"
        try:
            number += await _take_notes(cluster, path, await cluster.get(path), notes)
        except NotFoundError:
            continue
    return number


async def _take_notes(cluster: Cluster, path: str, item: Object, names: tuple[str, ...]) -> int:
    noted = item["metadata"].get("annotations", {})
    if not any(name in noted for name in names):
        return 0
    body: dict[str, Any] = {"metadata": {"annotations": dict.fromkeys(names)}}
    await cluster.client.merge_patch(path, msgspec.json.encode(body))
    return 1


async def _await_that_it_lasts(cluster: Cluster) -> None:
    """See that no operator has put its finalizer back."""
    await asyncio.sleep(_SETTLE_SECONDS)
    back = [item["metadata"]["name"] async for item in cluster.objects(cluster.path(STATEFUL_ROUTE)) if _bears(item)]
    if back:
        raise CommandError(
            f"an operator that still runs has taken {', '.join(back)} back: stop it first, or name its Deployment with "
            "--operator NAMESPACE/NAME"
        )


def _bears(item: Object) -> bool:
    return FINALIZER in item["metadata"].get("finalizers", ())


def _number(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _dry(dry_run: bool) -> str:  # noqa: FBT001 - the only thing that it depends on
    return " (server dry run)" if dry_run else ""
