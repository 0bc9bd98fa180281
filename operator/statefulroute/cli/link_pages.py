"""Lists links page by page and decodes only the needed fields: other metadata is nine tenths of an object."""

from collections.abc import AsyncIterator
from typing import Any, TypedDict

import msgspec

from statefulroute.api.group import POD_LINK
from statefulroute.cli.cluster import Cluster, Object

_PAGE_SIZE = 500


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


class _ListMetadata(msgspec.Struct, rename={"token": "continue"}):
    token: str = ""


class _Page(msgspec.Struct):
    metadata: _ListMetadata
    items: list[_Link] | None = None


_page_decoder = msgspec.json.Decoder(_Page)


async def link_pages(cluster: Cluster, field_selector: str = "") -> AsyncIterator[list[Object]]:
    """Yields every page of the links of the namespace, or of all namespaces; memory holds one page.

    Args:
        cluster: where to list them.
        field_selector: selects some of them.
    """
    query = {"limit": str(_PAGE_SIZE)} | ({"fieldSelector": field_selector} if field_selector else {})
    while True:
        page = _page_decoder.decode(await cluster.client.get(cluster.path(POD_LINK), query))
        yield [{**link} for link in page.items or ()]
        if not page.metadata.token:
            return
        query["continue"] = page.metadata.token
