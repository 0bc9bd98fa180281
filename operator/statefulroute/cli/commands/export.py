"""`export`: writes links as lines of JSON, a page at a time."""

import sys
from typing import Annotated

import typer

from statefulroute.cli import completion
from statefulroute.cli.cluster import Cluster
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.link_records import encode_record
from statefulroute.cli.runner import ClusterOptions, run
from statefulroute.cluster.clock import utc_now
from statefulroute.domain.validation import validate_route


@cluster_command()
def export(
    route: Annotated[
        str | None,
        typer.Argument(metavar="[ROUTE]", help="Only the links of this route.", autocompletion=completion.route_names),
    ] = None,
    *,
    cluster_options: ClusterOptions,
) -> None:
    """Write links as lines of JSON: a backup, or a move to another cluster."""
    run(cluster_options, lambda cluster: export_links(cluster, route))


async def export_links(cluster: Cluster, route: str | None) -> None:
    """Write the links of a route, or of all routes of the namespace.

    Raises:
        CommandError: the route does not exist and has no links.
    """
    cluster.one_namespace()
    selector = f"spec.routeName={validate_route(route)}" if route is not None else ""
    has_links = False
    async for page in cluster.link_pages(selector):
        now = utc_now()
        lines = [line for link in page if (line := encode_record(link, now)) is not None]
        sys.stdout.buffer.write(b"".join(lines))
        sys.stdout.buffer.flush()  # the reader need not wait for the last page
        has_links = has_links or bool(page)
    if route is not None and not has_links:
        await cluster.route(route)  # fails if the route does not exist: its name may be mistyped
