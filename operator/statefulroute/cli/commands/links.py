"""`links`: who is where."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from statefulroute.api.group import POD_LINK, STATEFUL_ROUTE
from statefulroute.api.vocabulary import LinkPhase
from statefulroute.cli.cluster import Cluster, CommandError, Object
from statefulroute.cli.objects import condition
from statefulroute.cli.output.ages import age
from statefulroute.cli.output.listing import Columns, ListOptions, field_selector, list_writer, print_empty, show_all
from statefulroute.cli.output.table import EMPTY, Cell, Row, Terminal
from statefulroute.cli.pod_names import PodNames
from statefulroute.domain.keys import PodKey, link_name
from statefulroute.domain.link import expire_time
from statefulroute.domain.times import parse_time
from statefulroute.domain.validation import validate_pod, validate_route, validate_uid

PHASE_STYLES: Mapping[str, str] = {LinkPhase.BOUND: "good", LinkPhase.PENDING: "warn", EMPTY: ""}


@dataclass(frozen=True, slots=True)
class LinkFilter:
    """Which links somebody wants to see.

    Attributes:
        route: only those of this route.
        uid: only those of this user.
        pod: only those on this pod: its name, or its index.
        phase: only those that stand so.
    """

    route: str | None = None
    uid: str | None = None
    pod: str | None = None
    phase: str | None = None


async def show_links(cluster: Cluster, terminal: Terminal, which: LinkFilter, view: ListOptions) -> None:
    """Write links; only a page of them is held at a time.

    Raises:
        SentenceError: there is no such route.
        InvalidParameterError: no link can have such a uid or pod.
    """
    sheet = list_writer(cluster, terminal, COLUMNS, view)
    selections = [field_selector(**_fields(which), **pod) for pod in await _pods(cluster, which)]
    found = await show_all(cluster, POD_LINK, selections, view, sheet)
    if found:
        return
    if which.route is not None and cluster.namespace is not None:
        await cluster.route(which.route)  # perhaps there is no such route
    print_empty(cluster, "links", view)


def _fields(which: LinkFilter) -> dict[str, str]:
    """The fields that the API server selects by."""
    fields = {}
    if which.route is not None and which.uid is not None:  # the API server finds a name without a search
        fields["metadata__name"] = link_name(validate_route(which.route), validate_uid(which.uid))
    elif which.route is not None:
        fields["spec__routeName"] = validate_route(which.route)
    elif which.uid is not None:
        fields["spec__uid"] = validate_uid(which.uid)
    if which.phase is not None:
        fields["status__phase"] = which.phase
    return fields


async def _pods(cluster: Cluster, which: LinkFilter) -> Sequence[dict[str, str]]:
    """The fields that select by the pod: a request each, for links name some pods by an index, and others by a name."""
    if which.pod is None:
        return [{}]
    if which.route is not None:
        return [_pod_field(PodNames.from_route(await cluster.route(which.route)).pod_key(which.pod))]
    if which.pod.isascii() and which.pod.isdigit():
        return [_pod_field(validate_pod(int(which.pod)))]
    fields = [_pod_field(validate_pod(which.pod))]
    async for route in cluster.objects(cluster.path(STATEFUL_ROUTE)):
        with suppress(CommandError):  # this route has no such pod
            key = PodNames.from_route(route).pod_key(which.pod)
            if isinstance(key, int):
                fields.append({"spec__routeName": route["metadata"]["name"], **_pod_field(key)})
    return fields


def _pod_field(pod: PodKey) -> dict[str, str]:
    return {"spec__podIndex": str(pod)} if isinstance(pod, int) else {"spec__podName": pod}


def pod_label(link: Object) -> str:
    """The pod that holds the user; `#2` is that of index 2, where the operator has not named any pod yet."""
    return _named(link["spec"], link)


def expire_time_label(link: Object) -> str:
    """When a temporary link ends, as RFC 3339."""
    spec, created = link["spec"], parse_time(link["metadata"]["creationTimestamp"])
    ends = expire_time(created, parse_time(spec.get("renewTime")), spec.get("ttlSeconds")) if created else None
    return ends.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if ends else EMPTY


def previous_pod_label(link: Object) -> str:
    """The pod that held the user before."""
    return _named(link.get("status", {}).get("previous", {}), link)


def _named(binding: Mapping[str, Any], link: Object) -> str:
    """The name of a pod that may be given by its index: the operator names the pods of one workload alike."""
    if "podIndex" not in binding:
        return str(binding.get("podName", EMPTY))
    status = link.get("status", {})
    known, index = status.get("podName", ""), f"-{status.get('podIndex')}"
    stem = known.removesuffix(index) if known.endswith(index) else ""
    return f"{stem}-{binding['podIndex']}" if stem else f"#{binding['podIndex']}"


def phase_cell(link: Object) -> Cell:
    """Where a link stands."""
    phase = link.get("status", {}).get("phase", EMPTY)
    return Cell(phase, PHASE_STYLES.get(phase, "bad"))


def _row(link: Object, now: datetime) -> Row:
    return [
        link["spec"]["routeName"],
        link["spec"]["uid"],
        pod_label(link),
        phase_cell(link),
        condition(link, "Ready").get("reason", EMPTY),
        age(link["metadata"]["creationTimestamp"], now),
        expire_time_label(link),
        link.get("status", {}).get("host", EMPTY),
        previous_pod_label(link),
    ]


COLUMNS = Columns(
    names=("ROUTE", "UID", "POD", "PHASE", "REASON", "AGE"),
    wide=("EXPIRES", "HOST", "PREVIOUS"),
    state=3,
    row=_row,
)
