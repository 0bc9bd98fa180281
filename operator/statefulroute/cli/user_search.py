"""Finds the pods that hold a user, and shows them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from statefulroute.api.group import POD_LINK
from statefulroute.api.vocabulary import ConditionType, LinkPhase, LinkReason, NotServingReason, RoutingState
from statefulroute.cli.cluster import Cluster, Object
from statefulroute.cli.objects import condition, is_deletion_blocked, namespaced_name, omitted_pods
from statefulroute.cli.output.links import expire_time_label, next_pod_label, phase_cell, pod_label, previous_pod_label
from statefulroute.cli.output.listing import ListOptions, document_writer, field_selector, print_empty
from statefulroute.cli.output.messages import print_message
from statefulroute.cli.output.table import EMPTY, Cell, Row, Table
from statefulroute.cli.output.terminal import Terminal
from statefulroute.cli.pod_names import PodNames
from statefulroute.cluster.clock import utc_now
from statefulroute.cluster.codec import ENDPOINTS, LINKS, PODS, ROUTES
from statefulroute.cluster.errors import APIError, NotFoundError
from statefulroute.domain.keys import link_name, slot_link_name
from statefulroute.domain.link import Link
from statefulroute.domain.operations import active_link
from statefulroute.domain.route import Route
from statefulroute.domain.serving import pod_not_serving_reason
from statefulroute.domain.slots.lookup import binding_slot
from statefulroute.domain.unlisted_pods import linked_pod_name, unlisted_pod

_CONCURRENCY = 16
_FORBIDDEN = 403

_COLUMNS = ("ROUTE", "POD", "PHASE", "SERVED", "ADDRESS", "HOST")
_WIDE_COLUMNS = ("REASON", "EXPIRES", "PREVIOUS", "NODE")

#: The columns that are shown only while the user is handed over, and if the link of a slot binds the user.
_OPTIONAL_COLUMNS = ("TO", "SLOT")


@dataclass(frozen=True, slots=True)
class _Match:
    """A service that holds the user.

    Attributes:
        route: the StatefulRoute; None if it does not exist.
        link: the PodLink.
        pod_name: the name of the pod; empty if the link is not bound yet.
        pod: the Pod; empty if it does not exist, or cannot be read.
        not_serving_reason: why the pod does not serve its users now; empty if it does.
    """

    route: Object | None
    link: Object
    pod_name: str
    pod: Object
    not_serving_reason: str


async def show_whereis(
    cluster: Cluster, terminal: Terminal, uid: str, routes: Sequence[Object], options: ListOptions
) -> None:
    """Write where a user is, with one read per route; a list of links is read only if none is found that way."""
    search = _Search(cluster, uid)
    matches = [match for match in await asyncio.gather(*map(search.match, routes)) if match is not None]
    matches = matches or await search.matches_without_route(routes)
    if search.is_pod_access_forbidden:
        print_message("note: you do not have the permission to read pods: their addresses are not known", err=True)
    for match in matches:
        if match.route is not None and is_deletion_blocked(match.route, utc_now()):
            name = namespaced_name(match.route)
            print_message(f"note: {name} is deleted, and waits for an operator to remove its finalizer", err=True)
    has_namespace = cluster.namespace is None
    if not options.output.is_table:
        writer = document_writer(terminal, options)
        writer.write([_document(match) for match in matches])
        writer.close()
    elif matches:
        header = [
            *(("NAMESPACE",) if has_namespace else ()),
            *_COLUMNS,
            *(_WIDE_COLUMNS if options.output.is_wide else ()),
            *_OPTIONAL_COLUMNS,
        ]
        optional = len(_OPTIONAL_COLUMNS)
        table = Table(terminal, header, no_header=options.no_headers, optional=optional)
        rows = [_row(match, has_namespace=has_namespace) for match in matches]
        table.write([[*row[: len(header) - optional], *row[-optional:]] for row in rows])
    else:
        print_empty(cluster, f"links of {uid}", options)


class _Search:
    """The search for one user.

    Attributes:
        is_pod_access_forbidden: whether the API server has refused to return a pod.
    """

    def __init__(self, cluster: Cluster, uid: str) -> None:
        self.is_pod_access_forbidden = False
        self._cluster = cluster
        self._uid = uid
        self._limit = asyncio.Semaphore(_CONCURRENCY)

    async def match(self, route: Object) -> _Match | None:
        """Returns the match if the route has an active link of the user, or of the user's slot."""
        namespace, name = route["metadata"]["namespace"], route["metadata"]["name"]
        async with self._limit:
            item, link = await self._link(namespace, link_name(name, self._uid))
            if (slot := binding_slot(self._uid, link, route["spec"].get("slots"))) is not None:
                item, link = await self._link(namespace, slot_link_name(name, slot))
                if link is None:
                    route_name = namespaced_name(route)
                    print_message(
                        f"note: {self._uid} belongs to slot {slot} of {route_name}, which is not bound to a pod yet",
                        err=True,
                    )
            if link is None:
                return None
            if link.pod is None:
                return _Match(route, item, "", {}, condition(item, "Ready").get("reason") or LinkPhase.PENDING)
            pod_name = _pod_name(route, item, link.pod)
            pod = await self._pod(namespace, pod_name)
            return _Match(route, item, pod_name, pod or {}, _not_serving_reason(route, link, pod))

    async def matches_without_route(self, routes: Sequence[Object]) -> list[_Match]:
        """Returns the matches of the active links of the user whose route does not exist."""
        existing = {(route["metadata"]["namespace"], route["metadata"]["name"]) for route in routes}
        matches = []
        try:
            async for link in self._cluster.objects(self._cluster.path(POD_LINK), field_selector(spec__uid=self._uid)):
                is_orphan = (link["metadata"]["namespace"], link["spec"]["routeName"]) not in existing
                if is_orphan and active_link(LINKS.convert(link), utc_now()) is not None:
                    name = pod_label(link)
                    matches.append(_Match(None, link, "" if name == EMPTY else name, {}, LinkReason.ROUTE_NOT_FOUND))
        except APIError as error:
            if error.status != _FORBIDDEN:
                raise
            print_message(
                "note: you do not have the permission to list links: those whose route does not exist are not known",
                err=True,
            )
        return matches

    async def _link(self, namespace: str, name: str) -> tuple[Object, Link | None]:
        """Returns a link as it is stored, and decoded; None if it does not count."""
        item = await self._get(Cluster(self._cluster.client, namespace).path(POD_LINK, name))
        return item, active_link(LINKS.convert(item), utc_now()) if item else None

    async def _pod(self, namespace: str, name: str) -> Object | None:
        """Returns a pod; empty if it does not exist, and None if it cannot be read."""
        try:
            return await self._get(f"/api/v1/namespaces/{namespace}/pods/{name}")
        except APIError as error:
            if error.status != _FORBIDDEN:
                raise
            self.is_pod_access_forbidden = True
            return None

    async def _get(self, path: str) -> Object:
        try:
            return await self._cluster.get(path)
        except NotFoundError:
            return {}


def _pod_name(route: Object, link: Object, pod: int | str) -> str:
    """Returns the name of a pod from the status of the link, else from the name of the workload."""
    status = link.get("status", {})
    if isinstance(pod, int) and status.get("podIndex") == pod and "podName" in status:
        return str(status["podName"])
    return PodNames.from_route(route).pod_name(pod)


def _not_serving_reason(route: Object, link: Link, pod: Object | None) -> str:
    """Returns why a pod does not serve its users now, by the rule of the resolver; empty if it does.

    Args:
        route: the StatefulRoute. Its status has the routing state of the pod.
        link: the link to the pod.
        pod: the Pod; empty if it does not exist, and None if only the status of the route is known.
    """
    statuses = route.get("status", {}).get("pods", ())
    status = next((each for each in statuses if each.get("index", each["name"]) == link.pod), None)
    if status is None and omitted_pods(route):
        return _unlisted_not_serving_reason(ROUTES.convert(route), link, pod)
    if status is None or pod == {}:
        workload = condition(route, ConditionType.WORKLOAD_FOUND)
        return workload["reason"] if workload.get("status") == "False" else NotServingReason.POD_NOT_FOUND
    if pod is None:
        return str(status.get("notServingReason", ""))
    is_shut_down = status["routingState"] == RoutingState.SHUTDOWN
    routing_state = RoutingState.SHUTDOWN if is_shut_down else RoutingState.READY
    return pod_not_serving_reason(PODS.convert(pod), routing_state) or ""


def _unlisted_not_serving_reason(route: Route, link: Link, pod: Object | None) -> str:
    """Returns why a pod that the status of the route does not list does not serve its users. Arguments as above."""
    if pod is None:
        return NotServingReason.UNKNOWN
    if not pod or link.pod is None or linked_pod_name(route, link) is None:  # a link may name any pod
        return NotServingReason.POD_NOT_FOUND
    status = unlisted_pod(route, link.pod, ENDPOINTS.convert(pod))
    return pod_not_serving_reason(PODS.convert(pod), status.routing_state) or ""


def _document(match: _Match) -> Object:
    """Returns the link with the address of its pod, which is null if it is not known or the pod does not serve."""
    address, reason = _present_address(match), match.not_serving_reason
    return {
        **match.link,
        "address": None if address == EMPTY else address,
        "served": not reason,
        "notServingReason": reason or None,
    }


def _row(match: _Match, *, has_namespace: bool) -> Row:
    return [
        *((match.link["metadata"]["namespace"],) if has_namespace else ()),
        match.link["spec"]["routeName"],
        match.pod_name or EMPTY,
        phase_cell(match.link),
        Cell(match.not_serving_reason, "bad") if match.not_serving_reason else Cell("Yes", "good"),
        _present_address(match),
        match.link.get("status", {}).get("host", EMPTY),
        condition(match.link, "Ready").get("reason", EMPTY),
        expire_time_label(match.link),
        _previous_pod(match),
        match.pod.get("spec", {}).get("nodeName", EMPTY),
        next_pod_label(match.link),
        str(match.link["spec"].get("slot", EMPTY)),
    ]


def _previous_pod(match: _Match) -> str:
    """Returns the pod before the present one, and why it was lost; the route gives the name of a pod with an index."""
    previous = match.link.get("status", {}).get("previous", {})
    index, cause = previous.get("podIndex"), previous.get("cause")
    if index is None or match.route is None:
        name = previous_pod_label(match.link)
    else:
        name = PodNames.from_route(match.route).pod_name(index)
    return f"{name} ({cause})" if cause else name


def _present_address(match: _Match) -> str:
    if match.not_serving_reason or match.route is None:
        return EMPTY
    return _address(match.route["spec"].get("port"), match.pod)


def _address(port: int | str | None, pod: Mapping[str, Any]) -> str:
    """Returns the address of a pod; without a port if the route does not name one."""
    ip = pod.get("status", {}).get("podIP")
    if not ip:
        return EMPTY
    number = _port_number(port, pod.get("spec", {}).get("containers", ()))
    if number is None:
        return str(ip)
    return f"[{ip}]:{number}" if ":" in ip else f"{ip}:{number}"


def _port_number(port: int | str | None, containers: Sequence[Mapping[str, Any]]) -> int | None:
    if not isinstance(port, str):
        return port
    ports = (each for container in containers for each in container.get("ports", ()))
    return next((each["containerPort"] for each in ports if each.get("name") == port), None)
