"""Fencing tokens of users of slots, whose links change while a token is read, with a real API server."""

import asyncio
from collections.abc import Callable

import pytest

from links.clients import ObservedClient
from links.stored_links import StoredLinks, StoredSpec
from statefulroute.cluster.client import Client
from statefulroute.cluster.link_store import LinkStore
from support.independent_client import IndependentClient, PodLink
from support.objects import ABSENT, pod_link

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOT = "game.x-slot-0"


async def one_slot(_route: str) -> int:
    return 1


@pytest.fixture
def slot(independent_client: IndependentClient, namespace: str) -> int:
    """The only slot of a route is at pod 0; the value is the resource version of its link."""
    link = pod_link(SLOT, uid=ABSENT, slot=0, podIndex=0)
    return int(independent_client.create(link, namespace)["metadata"]["resourceVersion"])


async def test_both_requests_for_a_token_read_the_same_revision(  # noqa: PLR0913, PLR0917 - fixtures
    client: Client,
    make_store: Callable[..., LinkStore],
    stored_links: StoredLinks,
    independent_client: IndependentClient,
    slot: int,
    uid: str,
) -> None:
    """The pod holds the user before by the slot, and after by a link: two reads of the present would find neither."""

    def change() -> int:
        version = stored_links.create(uid, StoredSpec(0))
        independent_client.delete(PodLink, SLOT, stored_links.namespace)
        return version

    versions = list[int]()

    async def change_once(method: str, path: str) -> None:
        del method, path
        if not versions:
            versions.append(await asyncio.to_thread(change))

    observed = ObservedClient(client, after=change_once)
    token = await make_store(observed, slots_of=one_slot).read_token("game", uid, 0)
    assert token is not None
    assert slot <= token < versions[0]
    assert observed.methods == "GET GET"
    assert await make_store(client, slots_of=one_slot).read_token("game", uid, 0) == versions[0]
    assert await make_store(client, slots_of=one_slot).read_token("game", "of-no-pod", 0) is None
