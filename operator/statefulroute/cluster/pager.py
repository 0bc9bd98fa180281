"""Lists objects page by page."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from statefulroute.cluster.errors import GoneError
from statefulroute.cluster.field_logger import get_logger

if TYPE_CHECKING:
    from statefulroute.cluster.client import Client

log = get_logger(__name__)

#: How often a further page is requested while the API server is too busy for it: the earlier pages need not be read
#: again. The first page is requested once.
_PAGE_ATTEMPTS = 5


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


async def collection_version(client: "Client", path: str, params: Mapping[str, str] | None = None) -> int:
    """Returns the present resource version of a collection, for the price of a list of one object.

    It is never lower than a version that a client has seen, unless etcd was restored from a backup. A watch from a
    higher version receives nothing until the API server reaches it.

    Args:
        client: the client for the API server.
        path: the path of the list.
        params: further parameters of the request, for example a selector.

    Raises:
        APIError: the API server answered with an error.
        UnreachableError: the API server did not answer.
        ValueError: the response is not a page of a list.
    """
    return int(list_metadata(await client.get(path, {**(params or {}), "limit": "1"})).resource_version)


async def list_pages(  # noqa: PLR0913 - all but two have a default, or a name
    client: "Client",
    path: str,
    params: Mapping[str, str] | None = None,
    *,
    page_size: int,
    prefetch: bool = False,
    restart: Callable[[], None] | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yields the pages of a list as the API server sends them.

    All pages represent one version of the collection. If the API server has compacted that version before the last page
    is read, the list continues in one of two ways, so that it ends however slow it is:

    - With `restart`, as in client-go's pager: one page has all objects, from the API server's watch cache, at a version
      that is not older. `restart` is called before it, and all earlier pages are void.
    - Without, as in kubectl: the remaining pages represent a later version. No object is yielded twice.

    Args:
        client: the client for the API server.
        path: the path of the list.
        params: further parameters of each request, for example a selector.
        page_size: the maximum number of objects per page.
        prefetch: request the next page while the caller processes the current one. The caller must close the generator
            (`contextlib.aclosing`), so that it cancels a request in progress.
        restart: drops the earlier pages.

    Raises:
        APIError: the API server answered with an error.
        UnreachableError: the API server did not answer.
        ValueError: the response is not a page of a list.
    """
    selected = dict(params or {})
    paged = {**selected, "limit": str(page_size)}
    version = ""
    request = asyncio.create_task(client.get(path, paged))
    try:
        while True:
            try:
                page = await request
            except GoneError as error:
                if not version or not (restart or error.continue_token):
                    raise
                log.info("the version of a list was compacted before its last page", resource=path, error=error.message)
                if restart:
                    restart()
                    rest = {**selected, "resourceVersion": version, "resourceVersionMatch": "NotOlderThan"}
                else:
                    rest = {**paged, "continue": error.continue_token}
                request = asyncio.create_task(_further_page(client, path, rest))
                version = ""  # a second 410 in a row is an error
                continue
            metadata = list_metadata(page)
            version, token = version or metadata.resource_version, metadata.continue_token
            if token and prefetch:
                request = asyncio.create_task(_further_page(client, path, {**paged, "continue": token}))
                await asyncio.sleep(0)  # lets the task send the request
            yield page
            if not token:
                return
            if not prefetch:
                request = asyncio.create_task(_further_page(client, path, {**paged, "continue": token}))
    finally:
        request.cancel()


async def _further_page(client: "Client", path: str, params: Mapping[str, str]) -> bytes:
    return await client.get(path, params, attempts=_PAGE_ATTEMPTS)
