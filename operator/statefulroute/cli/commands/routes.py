"""`routes`: shows the services of a namespace and their state."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

import typer

from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.api.vocabulary import RoutingState, WorkloadState
from statefulroute.cli import completion
from statefulroute.cli.closing_pods import closing_pods, shutdown_summary, summary
from statefulroute.cli.cluster import Cluster, Object
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.disruptions import disruption_obstacles
from statefulroute.cli.objects import condition, is_deletion_blocked, workload_label
from statefulroute.cli.options import NoHeaders, OutputOption, Selector, SortBy, Watch
from statefulroute.cli.output.ages import age
from statefulroute.cli.output.formats import TABLE
from statefulroute.cli.output.listing import (
    Columns,
    ListOptions,
    ListWriter,
    label_selector,
    list_writer,
    merge,
    print_empty,
    show_all,
    sort,
)
from statefulroute.cli.output.loads import ROUTING_STATE_STYLES, load_style, number_label, overload_threshold
from statefulroute.cli.output.table import EMPTY, Cell, Row
from statefulroute.cli.output.terminal import Terminal
from statefulroute.cli.runner import ClusterOptions, run

_WORKLOAD_STYLES: Mapping[str, str] = {
    WorkloadState.IDLE: "good",
    WorkloadState.NORMAL: "good",
    WorkloadState.HIGH: "warn",
    WorkloadState.OVERLOADED: "bad",
}


@cluster_command(all_namespaces=True)
def routes(  # noqa: PLR0913 - an option each
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Only these StatefulRoutes.", autocompletion=completion.route_names),
    ] = None,
    *,
    output: OutputOption = TABLE,
    watch: Watch = False,
    no_headers: NoHeaders = False,
    selector: Selector = None,
    sort_by: SortBy = None,
    cluster_options: ClusterOptions,
) -> None:
    """Show services and their state.

    STATE is DeletionBlocked if the deletion waits for an operator that does not run.
    LOAD is the mean weighted load of the pods, LINKS how many links are served now of all links, and BEST the pod that
    gets the next user. DISRUPTION is shown while pods are about to be removed on purpose, or shut down and hand their
    users over: why, how many links they still have, and how long they keep them; or why that does not go on.
    """
    if names and selector is not None:
        raise typer.BadParameter("name cannot be provided when a selector is specified")
    options = ListOptions(output, watch, no_headers, sort_by)
    run(cluster_options, lambda cluster: show_routes(cluster, Terminal(), names or (), selector, options))


async def show_routes(
    cluster: Cluster, terminal: Terminal, names: Sequence[str], selector: str | None, options: ListOptions
) -> None:
    """Write the routes with these names, or those with the labels that a selector names; None selects all.

    Raises:
        CommandError: a named route does not exist.
    """
    writer = list_writer(cluster, terminal, _COLUMNS, options, single=len(names) == 1)
    if names:
        await _show_named(cluster, names, options, writer)
    elif not await show_all(cluster, STATEFUL_ROUTE, [label_selector(selector)], options, writer):
        print_empty(cluster, "routes", options)


async def _show_named(cluster: Cluster, names: Sequence[str], options: ListOptions, writer: ListWriter) -> None:
    items = sort([await cluster.route(name) for name in dict.fromkeys(names)], options)
    writer.write(items)
    if options.watch:
        path = cluster.path(STATEFUL_ROUTE)
        watches = [
            cluster.watch(
                path,
                item["metadata"]["resourceVersion"],
                {"fieldSelector": f"metadata.name={item['metadata']['name']}"},
            )
            for item in items
        ]
        async for change, item in merge(*watches):
            writer.write([item], gone=change == "DELETED")
    writer.close()


def state_label(route: Object, now: datetime) -> str:
    """Returns the routing state of a service; if it is deleted or not ready unintentionally, the reason."""
    if "deletionTimestamp" in route["metadata"]:
        return "DeletionBlocked" if is_deletion_blocked(route, now) else "Deleting"
    routing_state: str = route["spec"].get("routingState", RoutingState.READY)
    ready = condition(route, "Ready")
    if not ready:
        return "Unknown"
    if ready["status"] == "True" or routing_state == RoutingState.SHUTDOWN:
        return routing_state
    return ready["reason"]


def _row(route: Object, now: datetime) -> Row:
    spec, status = route["spec"], route.get("status", {})
    state = state_label(route, now)
    workload = status.get("workloadState", EMPTY)
    return [
        route["metadata"]["name"],
        Cell(state, ROUTING_STATE_STYLES.get(state, "bad")),
        f"{number_label(status.get('routablePods'))}/{number_label(status.get('replicas'))}",
        Cell(workload, _WORKLOAD_STYLES.get(workload, "")),
        _load(route),
        _links(route),
        status.get("bestPodName", EMPTY),
        age(route["metadata"]["creationTimestamp"], now),
        workload_label(route),
        number_label(spec.get("port")),
        ",".join(spec.get("tags", ())) or EMPTY,
        spec.get("load", {}).get("source", EMPTY),
        _disruption(route, now),
    ]


def _disruption(route: Object, now: datetime) -> Cell | str:
    """Returns which pods are closing or hand their users over, and why planned disruptions do not go on."""
    pods, obstacles = closing_pods(route), [each["reason"] for each in disruption_obstacles(route)]
    summaries = [summary(pods, now)] if pods else []
    parts = [*summaries, *shutdown_summary(route), *dict.fromkeys(obstacles)]
    return Cell(", ".join(parts), "bad" if obstacles else "warn") if parts else EMPTY


def _load(route: Object) -> Cell | str:
    load = route.get("status", {}).get("workloadLoad")
    if load is None:
        return EMPTY
    fraction = load / overload_threshold(route)
    return Cell(str(load), load_style(fraction), fraction)


def _links(route: Object) -> Cell | str:
    """Returns the number of links that are served of all links, with a bar for these if they are limited."""
    status = route.get("status", {})
    limit = route["spec"].get("placement", {}).get("maxLinksPerPod", 0) * status.get("replicas", 0)
    links, unserved = status.get("links"), status.get("unservedLinks", 0)
    if links is None:
        return EMPTY
    label, style = f"{links - unserved}/{links}", "bad" if unserved else ""
    return Cell(label, style or load_style(links / limit), links / limit) if limit else Cell(label, style)


_COLUMNS = Columns(
    names=("NAME", "STATE", "PODS", "WORKLOAD", "LOAD", "LINKS", "BEST", "AGE"),
    wide=("TARGET", "PORT", "TAGS", "LOAD-SOURCE"),
    state=1,
    row=_row,
    optional=("DISRUPTION",),
)
