"""The pager lists objects page by page."""

import json
from collections.abc import Mapping
from typing import cast

import pytest

from statefulroute.cluster.client import Client
from statefulroute.cluster.pager import list_metadata, list_pages
from unit.cluster.objects import page, pod


class PagedServer:
    """A client whose lists have three pages of one pod each.

    Attributes:
        requests: the parameters of each request.
    """

    def __init__(self) -> None:
        self.requests: list[Mapping[str, str]] = []

    async def get(self, _: str, params: Mapping[str, str]) -> bytes:
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


def test_list_metadata_has_the_version_and_the_token_of_the_next_page() -> None:
    metadata = list_metadata(json.dumps(page([pod("a")], 30, next_page="more")).encode())
    assert (metadata.resource_version, metadata.continue_token) == ("30", "more")


@pytest.mark.parametrize("data", [b"", b"[]", b'{"items": []}'])
def test_bytes_that_are_not_a_page_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        list_metadata(data)
