"""`whereis`: every service that holds a user, and where that pod answers. No list of links is asked for."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from statefulroute.api.group import POD_LINK, STATEFUL_ROUTE
from statefulroute.cli.cluster import Cluster, Object
from statefulroute.cli.commands.links import expire_time_label, phase_cell, previous_pod_label
from statefulroute.cli.objects import condition
from statefulroute.cli.output.listing import DocumentWriter, ListOptions, print_empty
from statefulroute.cli.output.messages import print_message
from statefulroute.cli.output.table import EMPTY, Row, Table, Terminal
from statefulroute.cli.pod_names import PodNames
from statefulroute.cluster.clock import utc_now
from statefulroute.cluster.codec import LINKS
from statefulroute.cluster.errors import APIError, NotFoundError
from statefulroute.domain.keys import link_name
from statefulroute.domain.operations import active_link
from statefulroute.domain.validation import validate_uid

_AT_A_TIME = 16
_FORBIDDEN = 403

_COLUMNS = ("ROUTE", "POD", "PHASE", "ADDRESS", "HOST")
_WIDE = ("REASON", "EXPIRES", "PREVIOUS", "NODE")


@dataclass(frozen=True, slots=True)
class _Match:
    """A service that holds the user.

    Attributes:
        route: the StatefulRoute.
        link: the PodLink.
        pod_name: the pod; empty where there is none yet.
        pod: the Pod as Kubernetes has it; empty where it has none, or may not be read.
    """

    route: Object
    link: Object
    pod_name: str
    pod: Object


async def show_whereis(cluster: Cluster, terminal: Terminal, uid: str, view: ListOptions) -> None:
    """Write where a user is: one question by name a route, however many links there are.

    Raises:
        InvalidParameterError: no link can have such a uid.
    """
    uid = validate_uid(uid)
    search = _Search(cluster, uid)
    routes = [route async for route in cluster.objects(cluster.path(STATEFUL_ROUTE))]
    holdings = [found for found in await asyncio.gather(*map(search.holding, routes)) if found is not None]
    if search.is_blind:
        print_message("note: you have no right to read pods, so their addresses are not known", err=True)
    if not view.is_table:
        documents = DocumentWriter(terminal, view)
        documents.write([_document(each) for each in holdings])
        documents.close()
    elif holdings:
        header = [*(("NAMESPACE",) if cluster.namespace is None else ()), *_COLUMNS, *(_WIDE if view.is_wide else ())]
        table = Table(terminal, header, no_header=view.no_headers)
        table.write([_row(each, has_namespace=cluster.namespace is None)[: len(header)] for each in holdings])
    else:
        print_empty(cluster, f"links of {uid}", view)


class _Search:
    """The search for one user.

    Attributes:
        is_blind: whether pods may not be read.
    """

    def __init__(self, cluster: Cluster, uid: str) -> None:
        self.is_blind = False
        self._cluster = cluster
        self._uid = uid
        self._limit = asyncio.Semaphore(_AT_A_TIME)

    async def holding(self, route: Object) -> _Match | None:
        """What a route knows of the user."""
        namespace, name = route["metadata"]["namespace"], route["metadata"]["name"]
        async with self._limit:
            link = await self._get(Cluster(self._cluster.client, namespace).path(POD_LINK, link_name(name, self._uid)))
            known = active_link(LINKS.convert(link), utc_now()) if link else None
            if known is None:
                return None
            pod_name = "" if known.pod is None else _pod_name(route, link, known.pod)
            return _Match(route, link, pod_name, await self._pod(namespace, pod_name) if pod_name else {})

    async def _pod(self, namespace: str, name: str) -> Object:
        try:
            return await self._get(f"/api/v1/namespaces/{namespace}/pods/{name}")
        except APIError as error:
            if error.status != _FORBIDDEN:
                raise
            self.is_blind = True
            return {}

    async def _get(self, path: str) -> Object:
        try:
            return await self._cluster.get(path)
        except NotFoundError:
            return {}


def _pod_name(route: Object, link: Object, pod: int | str) -> str:
    """The pod's name, which the operator may have said; else the workload's name says it."""
    status = link.get("status", {})
    if isinstance(pod, int) and status.get("podIndex") == pod and "podName" in status:
        return str(status["podName"])
    return PodNames.from_route(route).pod_name(pod)


def _document(found: _Match) -> Object:
    """The link, and what a program that asks where somebody is wants besides: the address, null where there is none."""
    address = _address(found.route["spec"].get("port"), found.pod)
    return {**found.link, "address": None if address == EMPTY else address}


def _row(found: _Match, *, has_namespace: bool) -> Row:
    metadata = found.route["metadata"]
    return [
        *((metadata["namespace"],) if has_namespace else ()),
        metadata["name"],
        found.pod_name or EMPTY,
        phase_cell(found.link),
        _address(found.route["spec"].get("port"), found.pod),
        found.link.get("status", {}).get("host", EMPTY),
        condition(found.link, "Ready").get("reason", EMPTY),
        expire_time_label(found.link),
        _previous(found),
        found.pod.get("spec", {}).get("nodeName", EMPTY),
    ]


def _previous(found: _Match) -> str:
    """The pod that held the user before; a route that is there knows what its pods are called."""
    index = found.link.get("status", {}).get("previous", {}).get("podIndex")
    return previous_pod_label(found.link) if index is None else PodNames.from_route(found.route).pod_name(index)


def _address(port: int | str | None, pod: Mapping[str, Any]) -> str:
    """Where the pod answers now; without a port where the route names none."""
    ip = pod.get("status", {}).get("podIP")
    if not ip:
        return EMPTY
    number = _port(port, pod.get("spec", {}).get("containers", ()))
    if number is None:
        return str(ip)
    return f"[{ip}]:{number}" if ":" in ip else f"{ip}:{number}"


def _port(port: int | str | None, containers: Sequence[Mapping[str, Any]]) -> int | None:
    if not isinstance(port, str):
        return port
    ports = (each for container in containers for each in container.get("ports", ()))
    return next((each["containerPort"] for each in ports if each.get("name") == port), None)
