"""`export`: the links as lines of JSON, a page at a time."""

import sys

from statefulroute.cli.cluster import Cluster
from statefulroute.cli.link_pages import link_pages
from statefulroute.cli.link_records import encode_record
from statefulroute.cluster.clock import utc_now
from statefulroute.domain.validation import validate_route


async def export_links(cluster: Cluster, route: str | None) -> None:
    """Write the links of a route, or of all routes of the namespace."""
    cluster.one_namespace()
    only = f"spec.routeName={validate_route(route)}" if route is not None else ""
    has_links = False
    async for page in link_pages(cluster, only):
        now = utc_now()
        lines = [line for link in page if (line := encode_record(link, now)) is not None]
        sys.stdout.buffer.write(b"".join(lines))
        sys.stdout.buffer.flush()  # whoever reads it need not wait for the last page
        has_links = has_links or bool(page)
    if route is not None and not has_links:
        await cluster.route(route)  # nothing is right where the route has no links, and a slip where there is no route
