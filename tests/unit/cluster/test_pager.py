"""The pager lists objects page by page."""

import json
from collections.abc import Mapping
from typing import cast

import pytest

from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import GoneError
from statefulroute.cluster.pager import collection_version, list_metadata, list_pages
from unit.cluster.objects import page, pod


class PagedServer:
    """A client whose lists have three pages of one pod each.

    Attributes:
        requests: the parameters of each request.
    """

    def __init__(self) -> None:
        self.requests: list[Mapping[str, str]] = []

    async def get(self, _: str, params: Mapping[str, str], **_more: object) -> bytes:
        self.requests.append(params)
        number = int(params.get("continue", "0"))
        token = str(number + 1) if number < 2 else ""
        return json.dumps(page([pod(f"pod-{number}")], 10, next_page=token)).encode()


@pytest.mark.parametrize("prefetch", [False, True])
async def test_every_page_is_requested_once_with_the_same_parameters(*, prefetch: bool) -> None:
    server = PagedServer()
    params = {"fieldSelector": "spec.nodeName=a"}
    pages = [each async for each in list_pages(cast("Client", server), "/pods", params, page_size=1, prefetch=prefetch)]
    assert [json.loads(each)["items"][0]["metadata"]["name"] for each in pages] == ["pod-0", "pod-1", "pod-2"]
    assert server.requests == [
        {"fieldSelector": "spec.nodeName=a", "limit": "1"},
        {"fieldSelector": "spec.nodeName=a", "limit": "1", "continue": "1"},
        {"fieldSelector": "spec.nodeName=a", "limit": "1", "continue": "2"},
    ]


@pytest.mark.parametrize(("prefetch", "requested"), [(False, [1, 2, 3]), (True, [2, 3, 3])])
async def test_prefetch_requests_the_next_page_before_it_yields_one(*, prefetch: bool, requested: list[int]) -> None:
    server = PagedServer()
    pages = list_pages(cast("Client", server), "/pods", page_size=1, prefetch=prefetch)
    assert [len(server.requests) async for _ in pages] == requested


class CompactingServer(PagedServer):
    """A paged server that compacts the version of a list before its second page is requested.

    Args:
        token: the token in the response to an expired one.
        is_compacted_again: whether the next version is compacted, too.
    """

    def __init__(self, token: str = "", *, is_compacted_again: bool = False) -> None:
        super().__init__()
        self._token = token
        self._is_compacted_again = is_compacted_again

    async def get(self, path: str, params: Mapping[str, str], **_more: object) -> bytes:
        if params.get("continue") == "1" or (self._is_compacted_again and self.requests[1:]):
            self.requests.append(params)
            error = GoneError(410, "Expired", "The provided continue parameter is too old")
            error.continue_token = self._token
            raise error
        if "resourceVersion" in params:
            self.requests.append(params)
            return json.dumps(page([pod("pod-0"), pod("pod-9")], 30)).encode()
        return await super().get(path, params)


def names(pages: list[bytes]) -> list[list[str]]:
    return [[item["metadata"]["name"] for item in json.loads(each)["items"]] for each in pages]


@pytest.mark.parametrize("prefetch", [False, True])
async def test_an_expired_list_ends_with_one_page_that_is_not_older(*, prefetch: bool) -> None:
    server, pages = CompactingServer("2"), list[bytes]()
    params = {"fieldSelector": "spec.nodeName=a"}
    async for each in list_pages(
        cast("Client", server), "/pods", params, page_size=1, prefetch=prefetch, restart=pages.clear
    ):
        pages.append(each)
    assert names(pages) == [["pod-0", "pod-9"]]
    assert server.requests[2:] == [params | {"resourceVersion": "10", "resourceVersionMatch": "NotOlderThan"}]


@pytest.mark.parametrize("prefetch", [False, True])
async def test_an_expired_list_may_continue_with_the_rest_of_a_later_version(*, prefetch: bool) -> None:
    server = CompactingServer("2")
    pages = [each async for each in list_pages(cast("Client", server), "/pods", page_size=1, prefetch=prefetch)]
    assert names(pages) == [["pod-0"], ["pod-2"]]
    assert server.requests[2:] == [{"limit": "1", "continue": "2"}]


@pytest.mark.parametrize(
    ("server", "can_restart"),
    [(CompactingServer(), False), (CompactingServer("2", is_compacted_again=True), True)],
    ids=["no token", "compacted again"],
)
async def test_a_list_that_cannot_continue_is_an_error(server: CompactingServer, *, can_restart: bool) -> None:
    pages = list[bytes]()
    restart = pages.clear if can_restart else None
    remaining = list_pages(cast("Client", server), "/pods", page_size=1, restart=restart)
    pages.append(await anext(remaining))
    with pytest.raises(GoneError):
        await anext(remaining)
    assert len(server.requests) == (3 if can_restart else 2)


async def test_the_version_of_a_collection_costs_a_list_of_one_object() -> None:
    server = PagedServer()
    assert await collection_version(cast("Client", server), "/pods", {"fieldSelector": "spec.nodeName=a"}) == 10
    assert server.requests == [{"fieldSelector": "spec.nodeName=a", "limit": "1"}]


def test_list_metadata_has_the_version_and_the_token_of_the_next_page() -> None:
    metadata = list_metadata(json.dumps(page([pod("a")], 30, next_page="more")).encode())
    assert (metadata.resource_version, metadata.continue_token) == ("30", "more")


@pytest.mark.parametrize("data", [b"", b"[]", b'{"items": []}'])
def test_bytes_that_are_not_a_page_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        list_metadata(data)
