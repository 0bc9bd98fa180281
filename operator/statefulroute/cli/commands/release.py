"""`release`: removes what the operator has written, so that neither deletions nor evictions wait for it."""

import asyncio
from collections.abc import AsyncIterator, Container, Iterable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from statefulroute.api.annotations import (
    OCCUPIED_LABEL,
    POD_ANNOTATIONS,
    POD_LABELS,
    WEIGHTED_LOAD,
    WORKLOAD_ANNOTATIONS,
)
from statefulroute.api.group import FINALIZER, STATEFUL_ROUTE
from statefulroute.api.vocabulary import ConditionType
from statefulroute.cli.cluster import Cluster, CommandError, Object
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.dry_run import DryRun
from statefulroute.cli.options import DryRunOption, timeout_option
from statefulroute.cli.output.messages import pluralize, print_change, print_message
from statefulroute.cli.runner import ClusterOptions, run
from statefulroute.cluster.errors import APIError, ConflictError, NotFoundError

if TYPE_CHECKING:
    from statefulroute.cluster.scales import ScaleReader
    from statefulroute.domain.route import Route

# Functions import what takes long, so that `release --help` starts fast.

_MAX_ATTEMPTS = 12
_POLL_SECONDS = 0.5

#: A running operator adds its finalizer again as soon as its watch reports the change.
_SETTLE_SECONDS = 1.0


@cluster_command(all_namespaces=True)
def release(
    *,
    operator: Annotated[
        str | None,
        typer.Option("--operator", metavar="NAMESPACE/NAME", help="First stop the operator of this Deployment."),
    ] = None,
    timeout: Annotated[float, timeout_option("How long to wait until the operator stops.", minimum=1)] = 60.0,
    except_namespace: Annotated[
        list[str] | None,
        typer.Option(
            "--except-namespace",
            metavar="NAMESPACE",
            help="With --all-namespaces, leave out this namespace, because an operator serves it; may be repeated.",
        ),
    ] = None,
    dry_run: DryRunOption = DryRun.NONE,
    cluster_options: ClusterOptions,
) -> None:
    """Remove what the operator has written before you uninstall it; links and routes stay.

    It removes its finalizer, annotations, labels and PodDisruptionBudgets. Run it for namespaces that the operator no
    longer serves, too.
    """

    async def work(cluster: Cluster) -> int:
        deployment = None if operator is None else Deployment.parse(operator)
        served = frozenset(except_namespace or ())
        return await release_all(cluster, deployment, timeout, served=served, dry_run=dry_run)

    run(cluster_options, work)


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
        """Parse `NAMESPACE/NAME`.

        Raises:
            CommandError: the text does not have this form.
        """
        namespace, slash, name = text.partition("/")
        if not (namespace and slash and name) or "/" in name:
            raise CommandError(f"{text!r} does not name a Deployment: write NAMESPACE/NAME")
        return cls(namespace, name)

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.name}"


async def release_all(
    cluster: Cluster,
    deployment: Deployment | None,
    timeout_seconds: float,
    *,
    served: Container[str] = (),
    dry_run: DryRun,
) -> int:
    """Remove what the operator has written on routes, pods and workloads, and its budgets; returns the exit code.

    Args:
        cluster: the cluster and the namespace.
        deployment: the Deployment to stop first.
        timeout_seconds: how long to wait until it stops.
        served: the namespaces that are left out, because an operator serves them.
        dry_run: whether the changes are made.

    Raises:
        CommandError: the operator does not stop, or one that still runs has added its finalizer again.
    """
    from statefulroute.cluster.codec import ROUTES  # noqa: PLC0415
    from statefulroute.cluster.scales import ScaleReader  # noqa: PLC0415

    writer = cluster.with_dry_run(dry_run)
    if deployment is not None:
        await _stop(writer, deployment, timeout_seconds if dry_run.is_persistent else 0.0)
    items = await _routes(cluster, served)
    routes, pods, workloads = 0, 0, 0
    for item in items:
        if await _release_route(writer, item):
            routes += 1
            print_change(f"statefulroute.{STATEFUL_ROUTE.plural}/{item['metadata']['name']} released", dry_run=dry_run)
    if routes and dry_run.is_persistent:
        await _check_operator_stopped(cluster, served)
    # The annotations are last: an operator that still runs would write some of them again.
    scales = ScaleReader(writer.client)
    for route in map(ROUTES.convert, items):
        for each in (route.with_observed_workload(), route):
            workloads += 0 if each is None else await _release_workload(writer, scales, each)
        pods += await _release_pods(writer, route)
    for name in await _release_budgets(writer, items):
        print_change(f"poddisruptionbudget.policy/{name} deleted", dry_run=dry_run)
    counts = f"{pluralize(routes, 'route')}, {pluralize(pods, 'pod')} and {pluralize(workloads, 'workload')}"
    print_change(f"{counts} released", dry_run=dry_run)
    return 0


async def _routes(cluster: Cluster, served: Container[str]) -> list[Object]:
    """Returns the routes in all but some namespaces."""
    routes = cluster.objects(cluster.path(STATEFUL_ROUTE))
    return [route async for route in routes if route["metadata"]["namespace"] not in served]


async def _stop(cluster: Cluster, deployment: Deployment, timeout_seconds: float) -> None:
    """Scale the Deployment of an operator to zero, and wait until its pods are gone."""
    try:
        item = await cluster.get(deployment.path)
    except NotFoundError:
        print_message(f"note: there is no Deployment {deployment.namespace}/{deployment.name} to stop", err=True)
        return
    await cluster.client.merge_patch(f"{deployment.path}/scale", msgspec.json.encode({"spec": {"replicas": 0}}))
    labels: dict[str, str] = item["spec"]["selector"].get("matchLabels", {})
    # An evicted pod remains as Failed: it does not run, and no controller deletes it.
    selection = {
        "labelSelector": ",".join(f"{name}={value}" for name, value in labels.items()),
        "fieldSelector": "status.phase!=Failed,status.phase!=Succeeded",
    }
    pods = f"/api/v1/namespaces/{deployment.namespace}/pods"
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while timeout_seconds and (names := [pod["metadata"]["name"] async for pod in cluster.objects(pods, selection)]):
        if asyncio.get_running_loop().time() > deadline:
            raise CommandError(
                f"the operator has not stopped within {timeout_seconds:g} s: {', '.join(names)} still exists in "
                f"namespace {deployment.namespace!r}; delete it, and run the command again"
            )
        await asyncio.sleep(_POLL_SECONDS)


async def _release_route(cluster: Cluster, item: Object) -> bool:
    """Remove the finalizer from a route; returns whether it had one."""
    metadata = item["metadata"]
    path = Cluster(cluster.client, metadata["namespace"]).path(STATEFUL_ROUTE, metadata["name"])
    for _ in range(_MAX_ATTEMPTS):
        finalizers = metadata.get("finalizers", [])
        if FINALIZER not in finalizers:
            return False
        others = [finalizer for finalizer in finalizers if finalizer != FINALIZER]
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": others}}
        try:
            await cluster.client.merge_patch(path, msgspec.json.encode(body))
        except ConflictError:
            metadata = (await cluster.get(path))["metadata"]
        except NotFoundError:
            return False
        else:
            return True
    raise CommandError(f"{metadata['name']} was changed by others {_MAX_ATTEMPTS} times in a row: try again")


async def _release_workload(cluster: Cluster, scales: "ScaleReader", route: "Route") -> int:
    """Remove the annotations from the workload of a route; returns how many workloads had some."""
    key = route.workload_key
    try:
        path = await scales.path(key.namespace, key.api_version, key.kind, key.name)
        return await _remove_metadata(cluster, path, await cluster.get(path), WORKLOAD_ANNOTATIONS)
    except (NotFoundError, APIError) as error:
        if not isinstance(error, NotFoundError):
            print_message(f"note: {key.kind} {key.namespace}/{key.name} keeps its annotations: {error}", err=True)
        return 0


async def _release_pods(cluster: Cluster, route: "Route") -> int:
    """Remove the annotations and labels from the pods of a route; returns how many pods had some."""
    annotations = POD_ANNOTATIONS if route.has_deletion_cost else (WEIGHTED_LOAD,)
    count = 0
    try:
        async for pod in _pods(cluster, route):
            path = f"/api/v1/namespaces/{route.namespace}/pods/{pod['metadata']['name']}"
            with suppress(NotFoundError):
                count += await _remove_metadata(cluster, path, pod, annotations, POD_LABELS)
    except APIError as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        pods = f"pods of the StatefulRoute {route.namespace}/{route.name}"
        print_message(f"note: {pods} keep their annotations and labels: {error}", err=True)
    return count


async def _pods(cluster: Cluster, route: "Route") -> AsyncIterator[Object]:
    """Yields the pods of a route: those in its status.

    If the status omits some, these are the pods that its workload controls, and all with the operator's own annotation
    or label: a controller of another kind may name what it creates for its pods in any way, and all routes are
    released.
    """
    from statefulroute.domain.unlisted_pods import omits_pods  # noqa: PLC0415

    pods = f"/api/v1/namespaces/{route.namespace}/pods"
    if omits_pods(route.status):
        async for pod in cluster.objects(pods):
            if _is_owned(pod, route.workload_name) or _is_marked(pod):
                yield pod
        return
    for status in route.status.pods:
        try:
            pod = await cluster.get(f"{pods}/{status.name}")
        except NotFoundError:
            continue
        yield pod


def _is_owned(pod: Object, workload: str) -> bool:
    """Returns whether a workload controls a pod, by itself or by a ReplicaSet, whose name ends with '-' and a hash."""
    owners = pod["metadata"].get("ownerReferences", ())
    names = (owner["name"] for owner in owners if owner.get("controller"))
    return any(workload in {name, name.rpartition("-")[0]} for name in names)


def _is_marked(pod: Object) -> bool:
    """Returns whether a pod has an annotation or a label that only the operator writes."""
    metadata = pod["metadata"]
    return WEIGHTED_LOAD in metadata.get("annotations", {}) or OCCUPIED_LABEL in metadata.get("labels", {})


async def _release_budgets(cluster: Cluster, items: Iterable[Object]) -> list[str]:
    """Delete the PodDisruptionBudgets that belong to routes; returns their names."""
    from statefulroute.cluster.budgets import BudgetClient  # noqa: PLC0415

    budgets, deleted = BudgetClient(cluster.client), list[str]()
    uids: dict[str, set[str]] = {}
    for item in filter(_may_have_budget, items):
        uids.setdefault(item["metadata"]["namespace"], set()).add(item["metadata"]["uid"])
    for namespace, routes in sorted(uids.items()):
        try:
            for budget in await budgets.list(namespace):
                if any(owner.uid in routes for owner in budget.owners):
                    await budgets.delete(namespace, budget.name, budget.uid)
                    deleted.append(budget.name)
        except APIError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            print_message(f"note: PodDisruptionBudgets of routes in {namespace!r} stay: {error}", err=True)
    return deleted


def _may_have_budget(route: Object) -> bool:
    """Returns whether a route guards its pods, or did so when its status was written."""
    conditions = route.get("status", {}).get("conditions", ())
    return "disruption" in route["spec"] or any(each["type"] == ConditionType.EVICTIONS_GUARDED for each in conditions)


async def _remove_metadata(
    cluster: Cluster, path: str, item: Object, annotations: tuple[str, ...], labels: tuple[str, ...] = ()
) -> int:
    """Remove annotations and labels from an object; returns 1 if it had some, else 0."""
    present = {
        field: [name for name in names if name in item["metadata"].get(field, {})]
        for field, names in (("annotations", annotations), ("labels", labels))
    }
    changes = {field: dict.fromkeys(names) for field, names in present.items() if names}
    if not changes:
        return 0
    await cluster.client.merge_patch(path, msgspec.json.encode({"metadata": changes}))
    return 1


async def _check_operator_stopped(cluster: Cluster, served: Container[str]) -> None:
    """Fail if a running operator has added its finalizer again."""
    await asyncio.sleep(_SETTLE_SECONDS)
    routes = await _routes(cluster, served)
    names = [route["metadata"]["name"] for route in routes if FINALIZER in route["metadata"].get("finalizers", ())]
    if names:
        raise CommandError(
            f"an operator that still runs has added its finalizer to {', '.join(names)} again: stop it first, or name "
            "its Deployment with --operator NAMESPACE/NAME"
        )
