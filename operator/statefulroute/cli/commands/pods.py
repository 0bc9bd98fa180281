"""`pods`: the pods of a service, as its route's status tells of them."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.api.vocabulary import ServiceState
from statefulroute.cli.cluster import Cluster, Object
from statefulroute.cli.command_options import Output
from statefulroute.cli.commands.routes import STATE_STYLES, load_style, number_label, overload_threshold
from statefulroute.cli.objects import condition, watch_object
from statefulroute.cli.output.listing import GONE, ListOptions, print_empty
from statefulroute.cli.output.table import EMPTY, Cell, Row, Table, Terminal
from statefulroute.domain.annotations import format_milli
from statefulroute.domain.load import MILLI

_COLUMNS = ("POD", "STATE", "ROUTING", "LOAD", "LINKS", "FRESHNESS")
_WIDE = ("LOAD-STATE", "WAITING", "REPORTED")

_SERVICE_STYLES = {
    ServiceState.READY: "good",
    ServiceState.NOT_READY: "warn",
    ServiceState.PENDING: "warn",
    ServiceState.TERMINATING: "warn",
}

#: A pod, as a route's status tells of it.
PodObject = dict[str, Any]


async def show_pods(cluster: Cluster, terminal: Terminal, name: str, view: ListOptions) -> None:
    """Write the pods of a route, and with a watch each of them whenever something is new of it.

    Raises:
        SentenceError: there is no such route.
    """
    route = await cluster.route(name)
    write = _writer(terminal, view)
    if not view.watch:
        write(status_pods(route), route)
        if not status_pods(route):
            why = condition(route, "Ready").get("message") or "the operator has not said anything yet"
            print_empty(cluster, f"pods of {name}", view, message=why)
        return
    known: dict[str, PodObject] = {}
    async for version in watch_object(cluster, STATEFUL_ROUTE, name):
        route = version or {**route, "status": {}}
        if news := list(_changed_pods(known, status_pods(route))):
            write(news, route)


def status_pods(route: Object) -> list[PodObject]:
    """The pods that a route's status tells of."""
    pods: list[PodObject] = route.get("status", {}).get("pods", [])
    return pods


def _changed_pods(known: dict[str, PodObject], pods: Sequence[PodObject]) -> Iterator[PodObject]:
    """Those pods of which something is new; takes them in."""
    for pod in pods:
        if known.get(pod["name"]) != pod:
            known[pod["name"]] = pod
            yield pod
    for name in known.keys() - {pod["name"] for pod in pods}:
        del known[name]
        yield {"name": name, "serviceState": GONE}


def _writer(terminal: Terminal, view: ListOptions) -> "_Sheet | _Documents":
    return _Sheet(terminal, view) if view.is_table else _Documents(terminal, view)


class _Sheet:
    """Pods as rows of a table."""

    def __init__(self, terminal: Terminal, view: ListOptions) -> None:
        header = _COLUMNS + (_WIDE if view.is_wide else ())
        self._shown = len(header)
        self._table = Table(terminal, header, no_header=view.no_headers)

    def __call__(self, pods: Sequence[PodObject], route: Object) -> None:
        if pods:
            self._table.write([pod_row(pod, route)[: self._shown] for pod in pods])


class _Documents:
    """Pods as they stand in the status: one list, and in a watch one document each."""

    def __init__(self, terminal: Terminal, view: ListOptions) -> None:
        self._terminal = terminal
        self._view = view

    def __call__(self, pods: Sequence[PodObject], route: Object) -> None:
        del route
        documents: Sequence[Any] = pods if self._view.watch else [list(pods)]
        match self._view.output:
            case Output.NAME:
                for pod in pods:
                    self._terminal.write_line(f"pod/{pod['name']}")
            case Output.JSON:
                for document in documents:
                    self._terminal.write_line(msgspec.json.format(msgspec.json.encode(document), indent=4).decode())
            case _:
                for document in documents:
                    self._terminal.write(("---\n" if self._view.watch else "") + msgspec.yaml.encode(document).decode())
        self._terminal.stream.flush()


def pod_row(pod: PodObject, route: Object) -> Row:
    """The cells of a pod, the wide ones last."""
    service_state, routing_state = pod["serviceState"], pod.get("routingState", EMPTY)
    return [
        pod["name"],
        Cell(service_state, _SERVICE_STYLES.get(service_state, "dim" if service_state == GONE else "bad")),
        Cell(routing_state, "" if routing_state == EMPTY else STATE_STYLES.get(routing_state, "bad")),
        _load(pod, route),
        _links(pod, route),
        _freshness(pod),
        number_label(pod.get("loadState")),
        number_label(pod.get("waitingTasks")),
        pod.get("reportTime", EMPTY),
    ]


def _load(pod: PodObject, route: Object) -> Cell | str:
    milli = pod.get("weightedLoadMilli")
    if milli is None:
        return EMPTY
    part = milli / MILLI / overload_threshold(route)
    return Cell(format_milli(milli), "dim" if pod.get("loadStale") else load_style(part), part)


def _links(pod: PodObject, route: Object) -> Cell:
    """The links, with a bar against the most that a pod may carry, or against the pod that carries the most."""
    if "links" not in pod:
        return Cell(EMPTY)
    limit = route["spec"].get("placement", {}).get("maxLinksPerPod", 0)
    most = limit or max((each.get("links", 0) for each in status_pods(route)), default=0)
    part = pod["links"] / max(1, most)
    return Cell(str(pod["links"]), load_style(part) if limit else "", part)


def _freshness(pod: PodObject) -> Cell | str:
    if pod.get("weightedLoadMilli") is None:
        return EMPTY
    return Cell("Stale", "warn") if pod.get("loadStale") else Cell("Fresh", "good")
