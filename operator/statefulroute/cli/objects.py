"""Following one object while it changes."""

from collections.abc import AsyncIterator
from dataclasses import replace

from statefulroute.api.group import Kind
from statefulroute.cli.cluster import Cluster, Object


async def watch_object(cluster: Cluster, kind: Kind, name: str) -> AsyncIterator[Object | None]:
    """Each version of an object from now on; None where there is none (any more)."""
    only = {"fieldSelector": f"metadata.name={name}"}
    version = ""
    async for page, version in cluster.pages(cluster.path(kind), only):  # noqa: B007 - of one page
        yield page[0] if page else None
    async for change, item in cluster.watch(cluster.path(kind), version, only):
        yield None if change == "DELETED" else item


def condition(item: Object, kind: str) -> dict[str, str]:
    """A condition of an object; empty where it has none of this type."""
    conditions = item.get("status", {}).get("conditions", ())
    return next((each for each in conditions if each["type"] == kind), {})


def is_observed(item: Object) -> bool:
    """Whether the object's status was made for its present spec."""
    observed = item.get("status", {}).get("observedGeneration", 0)
    return bool(observed >= item["metadata"]["generation"])


def with_dry_run(cluster: Cluster, *, dry_run: bool) -> Cluster:
    """The cluster, or with a dry run one whose writes the API server only judges."""
    return replace(cluster, client=cluster.client.dry_run()) if dry_run else cluster
