"""Lists objects page by page."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from statefulroute.cluster.client import Client


class ListMetadata(msgspec.Struct, rename={"resource_version": "resourceVersion", "continue_token": "continue"}):
    """The metadata of a list.

    Attributes:
        resource_version: the version that the list represents; a watch starts from it.
        continue_token: the token of the next page; empty on the last page.
    """

    resource_version: str = ""
    continue_token: str = ""


class _List(msgspec.Struct):
    metadata: ListMetadata


_list_decoder = msgspec.json.Decoder(_List)


def list_metadata(page: bytes) -> ListMetadata:
    """Decodes the metadata of a page and skips its items, which takes a tenth of the time of decoding the page.

    Raises:
        ValueError: the bytes are not a page of a list.
    """
    return _list_decoder.decode(page).metadata


async def list_pages(
    client: "Client", path: str, params: Mapping[str, str] | None = None, *, page_size: int, prefetch: bool = False
) -> AsyncGenerator[bytes, None]:
    """Yields the pages of a list as the API server sends them.

    Args:
        client: the client for the API server.
        path: the path of the list.
        params: further parameters of each request, for example a selector.
        page_size: the maximum number of objects per page.
        prefetch: request the next page while the caller processes the current one. The caller must close the generator
            (`contextlib.aclosing`), so that it cancels a request in progress.

    Raises:
        APIError: the API server answered with an error.
        UnreachableError: the API server did not answer.
        ValueError: the response is not a page of a list.
    """
    base = {**(params or {}), "limit": str(page_size)}
    request = asyncio.create_task(client.get(path, base))
    try:
        while True:
            page = await request
            token = list_metadata(page).continue_token
            if token and prefetch:
                request = asyncio.create_task(client.get(path, {**base, "continue": token}))
                await asyncio.sleep(0)  # lets the task send the request
            yield page
            if not token:
                return
            if not prefetch:
                request = asyncio.create_task(client.get(path, {**base, "continue": token}))
    finally:
        request.cancel()
