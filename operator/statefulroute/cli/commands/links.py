"""`links`: shows which user is bound to which pod."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from statefulroute.api.group import POD_LINK, STATEFUL_ROUTE
from statefulroute.cli.cluster import Cluster, CommandError, Object
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.objects import condition
from statefulroute.cli.options import NoHeaders, OptionalRoute, OutputOption, Selector, SortBy, Watch
from statefulroute.cli.output.ages import age
from statefulroute.cli.output.formats import TABLE
from statefulroute.cli.output.links import (
    expire_time_label,
    next_pod_label,
    phase_cell,
    pod_label,
    previous_pod_label,
    subject_label,
)
from statefulroute.cli.output.listing import (
    Columns,
    ListOptions,
    field_selector,
    label_selector,
    list_writer,
    print_empty,
    show_all,
)
from statefulroute.cli.output.table import EMPTY, Row
from statefulroute.cli.output.terminal import Terminal
from statefulroute.cli.pod_names import PodNames
from statefulroute.cli.runner import ClusterOptions, run
from statefulroute.domain.keys import PodKey, link_name
from statefulroute.domain.validation import validate_pod, validate_route, validate_uid


class PhaseChoice(StrEnum):
    """The values of `--phase`."""

    PENDING = "Pending"
    BOUND = "Bound"
    HANDING_OVER = "HandingOver"
    LOST = "Lost"
    REJECTED = "Rejected"


@dataclass(frozen=True, slots=True)
class LinkFilter:
    """Selects links.

    Attributes:
        route: only the links of this route.
        uid: only the links of this user.
        pod: only the links to this pod: its name or its index.
        phase: only the links in this phase.
        labels: only the links with the labels that this selector names.
    """

    route: str | None = None
    uid: str | None = None
    pod: str | None = None
    phase: str | None = None
    labels: str | None = None


@cluster_command(all_namespaces=True)
def links(  # noqa: PLR0913 - an option each
    route: OptionalRoute = None,
    *,
    uid: Annotated[str | None, typer.Option(help="Only the links of this user (or room, document, session).")] = None,
    pod: Annotated[str | None, typer.Option(help="Only the links to this pod: its name or its index.")] = None,
    phase: Annotated[
        PhaseChoice | None, typer.Option(help="Only the links in this phase.", case_sensitive=False)
    ] = None,
    output: OutputOption = TABLE,
    watch: Watch = False,
    no_headers: NoHeaders = False,
    selector: Selector = None,
    sort_by: SortBy = None,
    cluster_options: ClusterOptions,
) -> None:
    """Show which user is bound to which pod.

    TO is shown while users are handed over: the pod that a user moves to.
    """
    options = ListOptions(output, watch, no_headers, sort_by)
    selected = LinkFilter(route, uid, pod, phase, selector)
    run(cluster_options, lambda cluster: show_links(cluster, Terminal(), selected, options))


async def show_links(cluster: Cluster, terminal: Terminal, selected: LinkFilter, options: ListOptions) -> None:
    """Write links; memory holds one page.

    Raises:
        CommandError: the route does not exist.
        InvalidParameterError: the uid or the pod is not valid.
    """
    writer = list_writer(cluster, terminal, _COLUMNS, options)
    labels = label_selector(selected.labels)
    selections = [
        {**field_selector(**_fields(selected), **pod), **labels} for pod in await _pod_selections(cluster, selected)
    ]
    if await show_all(cluster, POD_LINK, selections, options, writer):
        return
    if selected.route is not None and cluster.namespace is not None:
        await cluster.route(selected.route)  # fails if the route does not exist
    print_empty(cluster, "links", options)


def _fields(selected: LinkFilter) -> dict[str, str]:
    """Returns the fields by which the API server selects."""
    fields = {}
    if selected.route is not None and selected.uid is not None:  # the API server finds a name without a scan
        fields["metadata__name"] = link_name(validate_route(selected.route), validate_uid(selected.uid))
    elif selected.route is not None:
        fields["spec__routeName"] = validate_route(selected.route)
    elif selected.uid is not None:
        fields["spec__uid"] = validate_uid(selected.uid)
    if selected.phase is not None:
        fields["status__phase"] = selected.phase
    return fields


async def _pod_selections(cluster: Cluster, selected: LinkFilter) -> Sequence[dict[str, str]]:
    """Returns the fields that select by the pod, a request each: links name a pod by its index or by its name."""
    pod = selected.pod
    if pod is None:
        return [{}]
    if selected.route is not None:
        return [_pod_field(PodNames.from_route(await cluster.route(selected.route)).pod_key(pod))]
    if pod.isascii() and pod.isdigit():
        return [_pod_field(validate_pod(int(pod)))]
    selections = [_pod_field(validate_pod(pod))]
    async for route in cluster.objects(cluster.path(STATEFUL_ROUTE)):
        with suppress(CommandError):  # the route has no such pod
            key = PodNames.from_route(route).pod_key(pod)
            if isinstance(key, int):
                selections.append({"spec__routeName": route["metadata"]["name"], **_pod_field(key)})
    return selections


def _pod_field(pod: PodKey) -> dict[str, str]:
    return {"spec__podIndex": str(pod)} if isinstance(pod, int) else {"spec__podName": pod}


def _row(link: Object, now: datetime) -> Row:
    return [
        link["spec"]["routeName"],
        subject_label(link),
        pod_label(link),
        phase_cell(link),
        condition(link, "Ready").get("reason", EMPTY),
        age(link["metadata"]["creationTimestamp"], now),
        expire_time_label(link),
        link.get("status", {}).get("host", EMPTY),
        previous_pod_label(link),
        next_pod_label(link),
    ]


_COLUMNS = Columns(
    names=("ROUTE", "UID", "POD", "PHASE", "REASON", "AGE"),
    wide=("EXPIRES", "HOST", "PREVIOUS"),
    state=3,
    row=_row,
    optional=("TO",),
)
