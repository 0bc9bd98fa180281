"""`routes`: the services of a namespace, with how they are."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.api.vocabulary import RoutingState, WorkloadState
from statefulroute.cli.cluster import Cluster, Object
from statefulroute.cli.output.ages import age
from statefulroute.cli.output.listing import (
    Columns,
    DocumentWriter,
    ListOptions,
    TableWriter,
    list_writer,
    merge,
    print_empty,
    show_all,
)
from statefulroute.cli.output.table import EMPTY, Cell, Row, Terminal

STATE_STYLES: Mapping[str, str] = {RoutingState.READY: "good", RoutingState.DENY_NEW_CALL: "warn"}
WORKLOAD_STYLES: Mapping[str, str] = {
    WorkloadState.IDLE: "good",
    WorkloadState.NORMAL: "good",
    WorkloadState.HIGH: "warn",
    WorkloadState.OVERLOADED: "bad",
}


async def show_routes(cluster: Cluster, terminal: Terminal, names: Sequence[str], view: ListOptions) -> None:
    """Write the routes of these names, or all.

    Raises:
        SentenceError: there is no route of such a name.
    """
    sheet = list_writer(cluster, terminal, COLUMNS, view, single=len(names) == 1)
    if names:
        await _show_named(cluster, names, view, sheet)
    elif not await show_all(cluster, STATEFUL_ROUTE, [{}], view, sheet):
        print_empty(cluster, "routes", view)


async def _show_named(
    cluster: Cluster, names: Sequence[str], view: ListOptions, sheet: TableWriter | DocumentWriter
) -> None:
    found = [await cluster.route(name) for name in dict.fromkeys(names)]
    sheet.write(found)
    if view.watch:
        path = cluster.path(STATEFUL_ROUTE)
        watches = [
            cluster.watch(
                path,
                each["metadata"]["resourceVersion"],
                {"fieldSelector": f"metadata.name={each['metadata']['name']}"},
            )
            for each in found
        ]
        async for change, item in merge(*watches):
            sheet.write([item], gone=change == "DELETED")
    sheet.close()


def state_label(route: Object) -> str:
    """Whom a service takes; where it takes nobody against its owner's will, why."""
    said: str = route["spec"].get("routingState", RoutingState.READY)
    conditions = route.get("status", {}).get("conditions", ())
    ready = next((each for each in conditions if each["type"] == "Ready"), None)
    if ready is None:
        return "Unknown"
    return said if ready["status"] == "True" or said == RoutingState.SHUTDOWN else ready["reason"]


def overload_threshold(route: Object) -> int:
    """The load at which a service, or a pod of it, counts as overloaded, and its bar is full."""
    thresholds: Mapping[str, int] = route["spec"].get("workloadThresholds", {})
    return max(1, thresholds.get("overloaded", 5))


def load_style(fraction: float) -> str:
    """How a load looks that is such a part of the one that is too much."""
    return "bad" if fraction >= 1 else "warn" if fraction >= _HIGH else "good"


_HIGH = 0.6


def number_label(value: object) -> str:
    """A number of a status, or that it has not been said."""
    return EMPTY if value is None else str(value)


def _row(route: Object, now: datetime) -> Row:
    spec, status = route["spec"], route.get("status", {})
    stands = state_label(route)
    workload = status.get("workloadState", EMPTY)
    return [
        route["metadata"]["name"],
        Cell(stands, STATE_STYLES.get(stands, "bad")),
        f"{number_label(status.get('routablePods'))}/{number_label(status.get('replicas'))}",
        Cell(workload, WORKLOAD_STYLES.get(workload, "")),
        _load(route),
        _links(route),
        status.get("bestPodName", EMPTY),
        age(route["metadata"]["creationTimestamp"], now),
        _workload(route),
        number_label(spec.get("port")),
        ",".join(spec.get("tags", ())) or EMPTY,
        spec.get("load", {}).get("source", EMPTY),
    ]


def _load(route: Object) -> Cell | str:
    load = route.get("status", {}).get("workloadLoad")
    if load is None:
        return EMPTY
    part = load / overload_threshold(route)
    return Cell(str(load), load_style(part), part)


def _links(route: Object) -> Cell | str:
    """The links, with a bar where their number has a limit."""
    status = route.get("status", {})
    room = route["spec"].get("placement", {}).get("maxLinksPerPod", 0) * status.get("replicas", 0)
    links = status.get("links")
    if links is None or not room:
        return number_label(links)
    return Cell(str(links), load_style(links / room), links / room)


def _workload(route: Object) -> str:
    reference = route["spec"].get("workloadRef", {})
    return f"{reference.get('kind', 'StatefulSet')}/{reference.get('name', route['metadata']['name'])}"


COLUMNS = Columns(
    names=("NAME", "STATE", "PODS", "WORKLOAD", "LOAD", "LINKS", "BEST", "AGE"),
    wide=("TARGET", "PORT", "TAGS", "LOAD-SOURCE"),
    state=1,
    row=_row,
)
