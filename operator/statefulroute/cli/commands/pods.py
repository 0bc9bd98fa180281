"""`pods`: shows the pods of a service, from the status of its route."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.api.vocabulary import ServiceState
from statefulroute.cli.closing_pods import closing_pod
from statefulroute.cli.cluster import Cluster, Object
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.objects import condition, omitted_pods, total_links
from statefulroute.cli.options import NoHeaders, OutputOption, Route, SortBy, Watch
from statefulroute.cli.output.formats import TABLE
from statefulroute.cli.output.listing import GONE, ListOptions, print_empty, sort
from statefulroute.cli.output.loads import (
    HANDING_OVER,
    ROUTING_STATE_STYLES,
    links_label,
    load_style,
    number_label,
    overload_threshold,
)
from statefulroute.cli.output.messages import pluralize, print_message
from statefulroute.cli.output.pod_documents import PodObject, pod_document_writer
from statefulroute.cli.output.table import EMPTY, Cell, Row, Table
from statefulroute.cli.output.terminal import Terminal
from statefulroute.cli.runner import ClusterOptions, run
from statefulroute.cluster.clock import utc_now
from statefulroute.domain.milli import MILLI, format_milli

_COLUMNS = ("POD", "STATE", "ROUTING", "LOAD", "LINKS", "FRESHNESS")
_WIDE_COLUMNS = ("NOT-SERVING", "LOAD-STATE", "WAITING", "REPORTED")

#: The columns that are shown only from the first pod on with a value; the last two only with `-o wide`.
_OPTIONAL_COLUMNS = ("CLOSING",)
_WIDE_OPTIONAL_COLUMNS = ("CLOSING", "DEADLINE", "REVISION")

_SERVICE_STATE_STYLES = {
    ServiceState.READY: "good",
    ServiceState.NOT_READY: "warn",
    ServiceState.PENDING: "warn",
    ServiceState.TERMINATING: "warn",
}


@cluster_command()
def pods(  # noqa: PLR0913 - an option each
    route: Route,
    *,
    output: OutputOption = TABLE,
    watch: Watch = False,
    no_headers: NoHeaders = False,
    sort_by: SortBy = None,
    cluster_options: ClusterOptions,
) -> None:
    """Show the pods of a service.

    STATE is the state of the pod in Kubernetes, ROUTING which users it takes, or HandingOver while it hands its users
    over to other pods, and FRESHNESS whether its load is used.
    CLOSING is shown while pods are about to be removed on purpose: why, and how long they keep their users.
    """
    options = ListOptions(output, watch, no_headers, sort_by)
    run(cluster_options, lambda cluster: show_pods(cluster, Terminal(), route, options))


async def show_pods(cluster: Cluster, terminal: Terminal, name: str, options: ListOptions) -> None:
    """Write the pods of a route, and with a watch each pod again whenever it changes.

    Raises:
        CommandError: the route does not exist.
    """
    route = await cluster.route(name)
    write = _writer(terminal, options)
    if not options.watch:
        write(sort(_status_pods(route), options), route)
        if not _status_pods(route):
            message = condition(route, "Ready").get("message") or "the operator has not written a status yet"
            print_empty(cluster, f"pods of {name}", options, message=message)
        _print_omitted(route)
        return
    known: dict[str, PodObject] = {}
    async for version in cluster.watch_object(STATEFUL_ROUTE, name):
        route = version or {**route, "status": {}}
        is_first = not known
        if changed := list(_changed_pods(known, _status_pods(route), is_complete=not omitted_pods(route))):
            write(sort(changed, options) if is_first else changed, route)


def _status_pods(route: Object) -> list[PodObject]:
    pods: list[PodObject] = route.get("status", {}).get("pods", [])
    return pods


def _print_omitted(route: Object) -> None:
    """Print how many pods the status of a route does not list."""
    omitted = omitted_pods(route)
    if not omitted:
        return
    message = f"note: the status lists {len(_status_pods(route)):,} pods, and {omitted:,} more exist"
    if counts := route["status"].get("omittedPods"):
        message += f": {counts['ready']:,} of these are ready, {counts['available']:,} accept new users, and they have "
        message += pluralize(counts["links"], "link")
    print_message(message, err=True)


def _changed_pods(known: dict[str, PodObject], pods: Sequence[PodObject], *, is_complete: bool) -> Iterator[PodObject]:
    """Yields the pods that differ from the known ones, and updates those.

    A pod that is not in the list any more is only gone if the list is complete.
    """
    for pod in pods:
        if known.get(pod["name"]) != pod:
            known[pod["name"]] = pod
            yield pod
    for name in known.keys() - {pod["name"] for pod in pods}:
        del known[name]
        if is_complete:
            yield {"name": name, "serviceState": GONE}


def _writer(terminal: Terminal, options: ListOptions) -> Callable[[Sequence[PodObject], Object], None]:
    """Returns what writes some pods of a route."""
    if options.output.is_table:
        return _TableWriter(terminal, options)
    write = pod_document_writer(terminal, options)
    return lambda pods, _: write(pods)


class _TableWriter:
    """Writes pods as rows of a table."""

    def __init__(self, terminal: Terminal, options: ListOptions) -> None:
        self._is_wide = options.output.is_wide
        optional = _WIDE_OPTIONAL_COLUMNS if self._is_wide else _OPTIONAL_COLUMNS
        header = (*_COLUMNS, *(_WIDE_COLUMNS if self._is_wide else ()), *optional)
        self._table = Table(terminal, header, no_header=options.no_headers, optional=len(optional))

    def __call__(self, pods: Sequence[PodObject], route: Object) -> None:
        if pods:
            now = utc_now()
            self._table.write([_row(pod, route, now, is_wide=self._is_wide) for pod in pods])


def _row(pod: PodObject, route: Object, now: datetime, *, is_wide: bool) -> Row:
    """Returns the cells of a pod."""
    service_state, closing = pod["serviceState"], closing_pod(pod)
    routing_state = HANDING_OVER if pod.get("handingOver") else pod.get("routingState", EMPTY)
    cells = [
        pod["name"],
        Cell(service_state, _SERVICE_STATE_STYLES.get(service_state, "dim" if service_state == GONE else "bad")),
        Cell(routing_state, "" if routing_state == EMPTY else ROUTING_STATE_STYLES.get(routing_state, "bad")),
        _load(pod, route),
        _links(pod, route),
        _freshness(pod),
    ]
    closing_cell = Cell(closing.label(now), "warn") if closing else EMPTY
    if not is_wide:
        return [*cells, closing_cell]
    return [
        *cells,
        pod.get("notServingReason", EMPTY),
        number_label(pod.get("loadState")),
        number_label(pod.get("waitingTasks")),
        pod.get("reportTime", EMPTY),
        closing_cell,
        pod.get("closing", {}).get("deadline", EMPTY),
        pod.get("revision", EMPTY),
    ]


def _load(pod: PodObject, route: Object) -> Cell | str:
    milli = pod.get("weightedLoadMilli")
    if milli is None:
        return EMPTY
    fraction = milli / MILLI / overload_threshold(route)
    return Cell(format_milli(milli), "dim" if pod.get("loadStale") else load_style(fraction), fraction)


def _links(pod: PodObject, route: Object) -> Cell:
    """Returns the number of links, with a bar relative to the limit per pod, or to the pod with the most links."""
    if "links" not in pod:
        return Cell(EMPTY)
    limit = route["spec"].get("placement", {}).get("maxLinksPerPod", 0)
    maximum = limit or max(map(total_links, _status_pods(route)), default=0)
    total = total_links(pod)
    fraction = total / max(1, maximum)
    return Cell(links_label(pod["links"], total), load_style(fraction) if limit else "", fraction)


def _freshness(pod: PodObject) -> Cell | str:
    if pod.get("weightedLoadMilli") is None:
        return EMPTY
    return Cell("Stale", "warn") if pod.get("loadStale") else Cell("Fresh", "good")
