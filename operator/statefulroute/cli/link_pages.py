"""Many links, page by page, and of each only what is asked about: nine tenths of an object are others' notes on it."""

from collections.abc import AsyncIterator
from typing import Any, TypedDict

import msgspec

from statefulroute.api.group import POD_LINK
from statefulroute.cli.cluster import Cluster, Object

_PAGE = 500


class _Metadata(TypedDict, total=False):
    name: str
    namespace: str
    generation: int
    creationTimestamp: str
    deletionTimestamp: str


class _Link(TypedDict, total=False):
    metadata: _Metadata
    spec: dict[str, Any]
    status: dict[str, Any]


class _ListMetadata(msgspec.Struct, rename={"rest": "continue"}):
    rest: str = ""


class _Page(msgspec.Struct):
    metadata: _ListMetadata
    items: list[_Link] | None = None


_page = msgspec.json.Decoder(_Page)


async def link_pages(cluster: Cluster, field_selector: str = "") -> AsyncIterator[list[Object]]:
    """Every page of the links of the namespace, or of all; one page is held at a time.

    Args:
        cluster: where.
        field_selector: selects some of them.
    """
    asked = {"limit": str(_PAGE)} | ({"fieldSelector": field_selector} if field_selector else {})
    while True:
        page = _page.decode(await cluster.client.get(cluster.path(POD_LINK), asked))
        yield [{**link} for link in page.items or ()]
        if not page.metadata.rest:
            return
        asked["continue"] = page.metadata.rest
