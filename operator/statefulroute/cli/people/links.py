"""`links`: who is where."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from statefulroute.api.group import POD_LINK, STATEFUL_ROUTE
from statefulroute.api.vocabulary import LinkPhase
from statefulroute.cli.people.ages import age
from statefulroute.cli.people.cluster import Cluster, Object, SentenceError
from statefulroute.cli.people.following import condition
from statefulroute.cli.people.listing import Columns, View, say_empty, selecting, show_all, writer
from statefulroute.cli.people.naming import PodNames
from statefulroute.cli.people.writing import NOTHING, Cell, Row, Terminal
from statefulroute.domain.keys import PodKey, link_name
from statefulroute.domain.link import expire_time
from statefulroute.domain.parameters import checked_pod, checked_route, checked_uid
from statefulroute.domain.times import read_time

PHASE_STYLES: Mapping[str, str] = {LinkPhase.BOUND: "good", LinkPhase.PENDING: "warn", NOTHING: ""}


@dataclass(frozen=True, slots=True)
class Which:
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


async def show_links(cluster: Cluster, terminal: Terminal, which: Which, view: View) -> None:
    """Write links; only a page of them is held at a time.

    Raises:
        SentenceError: there is no such route.
        InvalidParameterError: no link can have such a uid or pod.
    """
    sheet = writer(cluster, terminal, COLUMNS, view)
    selections = [selecting(**_fields(which), **pod) for pod in await _pods(cluster, which)]
    found = await show_all(cluster, POD_LINK, selections, view, sheet)
    if found:
        return
    if which.route is not None and cluster.namespace is not None:
        await cluster.route(which.route)  # perhaps there is no such route
    say_empty(cluster, "links", view)


def _fields(which: Which) -> dict[str, str]:
    """The fields that the API server selects by."""
    fields = {}
    if which.route is not None and which.uid is not None:  # the API server finds a name without a search
        fields["metadata__name"] = link_name(checked_route(which.route), checked_uid(which.uid))
    elif which.route is not None:
        fields["spec__routeName"] = checked_route(which.route)
    elif which.uid is not None:
        fields["spec__uid"] = checked_uid(which.uid)
    if which.phase is not None:
        fields["status__phase"] = which.phase
    return fields


async def _pods(cluster: Cluster, which: Which) -> Sequence[dict[str, str]]:
    """The fields that select by the pod: a request each, for links name some pods by an index, and others by a name."""
    if which.pod is None:
        return [{}]
    if which.route is not None:
        return [_pod_field(PodNames.of(await cluster.route(which.route)).key(which.pod))]
    if which.pod.isascii() and which.pod.isdigit():
        return [_pod_field(checked_pod(int(which.pod)))]
    fields = [_pod_field(checked_pod(which.pod))]
    async for route in cluster.objects(cluster.path(STATEFUL_ROUTE)):
        with suppress(SentenceError):  # this route has no such pod
            key = PodNames.of(route).key(which.pod)
            if isinstance(key, int):
                fields.append({"spec__routeName": route["metadata"]["name"], **_pod_field(key)})
    return fields


def _pod_field(pod: PodKey) -> dict[str, str]:
    return {"spec__podIndex": str(pod)} if isinstance(pod, int) else {"spec__podName": pod}


def pod_of(link: Object) -> str:
    """The pod that holds the user; `#2` is that of index 2, where the operator has not named any pod yet."""
    return _named(link["spec"], link)


def expires(link: Object) -> str:
    """When a temporary link ends, as RFC 3339."""
    spec, created = link["spec"], read_time(link["metadata"]["creationTimestamp"])
    ends = expire_time(created, read_time(spec.get("renewTime")), spec.get("ttlSeconds")) if created else None
    return ends.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if ends else NOTHING


def came_from(link: Object) -> str:
    """The pod that held the user before."""
    return _named(link.get("status", {}).get("previous", {}), link)


def _named(binding: Mapping[str, Any], link: Object) -> str:
    """The name of a pod that may be given by its index: the operator names the pods of one workload alike."""
    if "podIndex" not in binding:
        return str(binding.get("podName", NOTHING))
    status = link.get("status", {})
    known, index = status.get("podName", ""), f"-{status.get('podIndex')}"
    stem = known.removesuffix(index) if known.endswith(index) else ""
    return f"{stem}-{binding['podIndex']}" if stem else f"#{binding['podIndex']}"


def phase_of(link: Object) -> Cell:
    """Where a link stands."""
    phase = link.get("status", {}).get("phase", NOTHING)
    return Cell(phase, PHASE_STYLES.get(phase, "bad"))


def _row(link: Object, now: datetime) -> Row:
    return [
        link["spec"]["routeName"],
        link["spec"]["uid"],
        pod_of(link),
        phase_of(link),
        condition(link, "Ready").get("reason", NOTHING),
        age(link["metadata"]["creationTimestamp"], now),
        expires(link),
        link.get("status", {}).get("host", NOTHING),
        came_from(link),
    ]


COLUMNS = Columns(
    names=("ROUTE", "UID", "POD", "PHASE", "REASON", "AGE"),
    wide=("EXPIRES", "HOST", "PREVIOUS"),
    state=3,
    row=_row,
)
