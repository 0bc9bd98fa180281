"""Tests the answer, the effect and the requests of each operation by one table, with and without a cache."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pykube.exceptions import HTTPError

from links.clients import ObservedClient
from links.stored_links import TTL, StoredLinks, StoredSpec, wait_until_cached
from statefulroute.api.vocabulary import FOREIGN_NAMESPACE_MESSAGE
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import LINKS
from statefulroute.cluster.link_store import LinkStore
from statefulroute.cluster.reflector import Reflector
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link
from statefulroute.domain.operations import Attempt
from support.kubectl import Kubectl
from support.objects import pod_link
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADMISSION = Path(__file__).parents[2] / "deploy" / "admission"

# The links before an operation.
NO_LINK = None
PERSISTENT = StoredSpec(pod=1)
POD_0 = StoredSpec(pod=0)
TEMPORARY = StoredSpec(pod=1, ttl=TTL, age=TTL / 2)  # exactly half of the TTL is left
DUE = StoredSpec(pod=1, ttl=TTL, age=TTL / 2 + 1)  # less than half of the TTL is left
LAST = StoredSpec(pod=1, ttl=TTL, age=TTL - 1)  # one second before its expiry
EXPIRED = StoredSpec(pod=1, ttl=TTL, age=TTL)  # expired, but not deleted
EXPIRED_WAITING = StoredSpec(pod=None, ttl=TTL, age=TTL)
WAITING = StoredSpec(pod=None)  # leaves the choice to the operator, which has not chosen
WAITING_TEMPORARY = StoredSpec(pod=None, ttl=TTL, age=10)
NAMED = StoredSpec(pod="game-b7")

# The links after an operation.
GONE = None
FRESH = StoredSpec(pod=1, ttl=TTL, age=0)

Operation = Callable[[LinkStore, str], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """One operation on one link: its answer, the stored link after it, and its requests without and with a cache."""

    title: str
    operation: Operation
    link: StoredSpec | None
    answer: Any
    after: StoredSpec | None
    cost: str
    cached: str

    def __str__(self) -> str:
        return self.title


def get() -> Operation:
    async def held(store: LinkStore, uid: str) -> Any:
        link = await store.get("game", uid)
        return None if link is None else (link.pod, link.ttl_seconds)

    return held


def set_(pod: PodKey, ttl: int | None = None) -> Operation:
    return lambda store, uid: store.set("game", uid, pod, ttl_seconds=ttl)


def try_set(pod: PodKey, ttl: int | None = None) -> Operation:
    return lambda store, uid: store.try_set("game", uid, pod, ttl_seconds=ttl)


def if_absent(pod: PodKey, ttl: int | None = None) -> Operation:
    return lambda store, uid: store.set_if_absent("game", uid, pod, ttl_seconds=ttl)


def compute(pod: PodKey, ttl: int | None = None) -> Operation:
    async def computed(store: LinkStore, uid: str) -> tuple[PodKey, int]:
        """Returns the holder, and the number of calls of the choice."""
        calls = 0

        async def choose() -> PodKey:
            nonlocal calls
            calls += 1
            await asyncio.sleep(0)
            return pod

        return await store.compute_if_absent("game", uid, choose, ttl_seconds=ttl), calls

    return computed


def remove(grace: int | None = None) -> Operation:
    return lambda store, uid: store.remove("game", uid, grace_seconds=grace)


def remove_if(pod: PodKey, grace: int | None = None) -> Operation:
    return lambda store, uid: store.remove_if_linked_to("game", uid, pod, grace_seconds=grace)


def renew() -> Operation:
    return lambda store, uid: store.renew("game", uid)


def links_of() -> Operation:
    return lambda store, uid: store.links_of(uid, ["game"])


def batch_get() -> Operation:
    async def answer(store: LinkStore, uid: str) -> dict[PodKey, int]:
        return {pod: len(uids) for pod, uids in (await store.batch_get("game", [uid, uid])).items()}

    return answer


YES, NO = True, False
WON_1, WON_2 = Attempt(won=True, holder=1), Attempt(won=True, holder=2)
LOST_NAMED = Attempt(won=False, holder="game-b7")
LOST_0, LOST_1 = Attempt(won=False, holder=0), Attempt(won=False, holder=1)
POST = ("GET POST", "POST")
P1, P2, T2 = StoredSpec(pod=1), StoredSpec(pod=2), StoredSpec(pod=2, ttl=TTL, age=0)

TABLE = [
    # get: an expired link is absent; a waiting link has no pod yet.
    Row("get finds no link", get(), NO_LINK, None, None, "GET", ""),
    Row("get finds a persistent link", get(), PERSISTENT, (1, None), PERSISTENT, "GET", ""),
    Row("get finds a link to pod 0", get(), POD_0, (0, None), POD_0, "GET", ""),
    Row("get finds a temporary link in its last second", get(), LAST, (1, TTL), LAST, "GET", ""),
    Row("get ignores an expired link", get(), EXPIRED, None, EXPIRED, "GET", ""),
    Row("get finds a waiting link", get(), WAITING, (None, None), WAITING, "GET", ""),
    # set: forces the binding, and returns the pod before.
    Row("set creates", set_(1), NO_LINK, None, P1, "GET POST", "POST"),
    Row("set creates a temporary link", set_(2, TTL), NO_LINK, None, T2, "GET POST", "POST"),
    Row("set moves a persistent link", set_(2), PERSISTENT, 1, P2, "GET PATCH", "PATCH"),
    Row("set returns pod 0 as the pod before", set_(1), POD_0, 0, P1, "GET PATCH", "PATCH"),
    Row("set binds to pod 0", set_(0), PERSISTENT, 1, POD_0, "GET PATCH", "PATCH"),
    Row("set of what is set writes nothing", set_(1), PERSISTENT, 1, PERSISTENT, "GET", "GET"),
    Row("set makes a persistent link temporary", set_(1, TTL), PERSISTENT, 1, FRESH, "GET PATCH", "PATCH"),
    Row("set makes a temporary link persistent", set_(1), TEMPORARY, 1, P1, "GET PATCH", "PATCH"),
    Row("set moves a temporary link", set_(2, TTL), TEMPORARY, 1, T2, "GET PATCH", "PATCH"),
    Row("set renews a temporary link", set_(1, TTL), DUE, 1, FRESH, "GET PATCH", "PATCH"),
    Row("set leaves a renewal that is not due", set_(1, TTL), TEMPORARY, 1, TEMPORARY, "GET", "GET"),
    Row("set takes over an expired link", set_(2), EXPIRED, None, P2, "GET PATCH", "PATCH"),
    Row("set revives an expired link of the same pod", set_(1, TTL), EXPIRED, None, FRESH, "GET PATCH", "PATCH"),
    Row("set chooses for a waiting link", set_(2), WAITING, None, P2, "GET PATCH", "PATCH"),
    # try_set: fails only if there is a persistent link to another pod.
    Row("try_set creates", try_set(1), NO_LINK, WON_1, P1, "GET POST", "POST"),
    Row("try_set loses to a persistent link to another pod", try_set(2), PERSISTENT, LOST_1, P1, "GET", "GET"),
    Row("try_set loses to pod 0", try_set(2), POD_0, LOST_0, POD_0, "GET", "GET"),
    Row("try_set wins if the pod holds the uid", try_set(1), PERSISTENT, WON_1, P1, "GET", "GET"),
    Row("try_set makes its own link temporary", try_set(1, TTL), PERSISTENT, WON_1, FRESH, "GET PATCH", "PATCH"),
    Row("try_set wins over a temporary link", try_set(2), TEMPORARY, WON_2, P2, "GET PATCH", "PATCH"),
    Row("try_set wins over a temporary link, temporarily", try_set(2, TTL), LAST, WON_2, T2, "GET PATCH", "PATCH"),
    Row("try_set wins over an expired link", try_set(2), EXPIRED, WON_2, P2, "GET PATCH", "PATCH"),
    Row("try_set wins over a waiting link", try_set(2), WAITING, WON_2, P2, "GET PATCH", "PATCH"),
    # set_if_absent: returns the holder, and renews an existing temporary link.
    Row("set_if_absent creates", if_absent(2), NO_LINK, 2, P2, "GET POST", "POST"),
    Row("set_if_absent creates a temporary link", if_absent(2, TTL), NO_LINK, 2, T2, "GET POST", "POST"),
    Row("set_if_absent returns the holder", if_absent(2), PERSISTENT, 1, PERSISTENT, "GET", "GET"),
    Row("set_if_absent returns pod 0 as the holder", if_absent(2), POD_0, 0, POD_0, "GET", "GET"),
    Row("set_if_absent leaves a persistent link persistent", if_absent(1, TTL), PERSISTENT, 1, P1, "GET", "GET"),
    Row("set_if_absent leaves a renewal that is not due", if_absent(2), TEMPORARY, 1, TEMPORARY, "GET", "GET"),
    Row("set_if_absent renews", if_absent(2), DUE, 1, FRESH, "GET PATCH", "PATCH"),
    Row("set_if_absent renews in the last second", if_absent(2, 7), LAST, 1, FRESH, "GET PATCH", "PATCH"),
    Row("set_if_absent takes over an expired link", if_absent(2), EXPIRED, 2, P2, "GET PATCH", "PATCH"),
    Row("set_if_absent chooses for a waiting link", if_absent(2), WAITING, 2, P2, "GET PATCH", "PATCH"),
    Row("set_if_absent keeps the TTL of a waiting link", if_absent(2), WAITING_TEMPORARY, 2, T2, "GET PATCH", "PATCH"),
    Row("set_if_absent takes over an expired waiting link", if_absent(2), EXPIRED_WAITING, 2, P2, "GET PATCH", "PATCH"),
    # compute_if_absent: the same, and calls the choice only if there is no link.
    Row("compute creates", compute(2), NO_LINK, (2, 1), P2, "GET POST", "POST"),
    Row("compute creates a temporary link", compute(2, TTL), NO_LINK, (2, 1), T2, "GET POST", "POST"),
    Row("compute returns the holder", compute(2), PERSISTENT, (1, 0), PERSISTENT, "GET", "GET"),
    Row("compute returns pod 0 as the holder", compute(2), POD_0, (0, 0), POD_0, "GET", "GET"),
    Row("compute binds to pod 0", compute(0), NO_LINK, (0, 1), POD_0, "GET POST", "POST"),
    Row("compute leaves a renewal that is not due", compute(2), TEMPORARY, (1, 0), TEMPORARY, "GET", "GET"),
    Row("compute renews", compute(2), DUE, (1, 0), FRESH, "GET PATCH", "PATCH"),
    Row("compute takes over an expired link", compute(2), EXPIRED, (2, 1), P2, "GET PATCH", "PATCH"),
    Row("compute chooses for a waiting link", compute(2), WAITING, (2, 1), P2, "GET PATCH", "PATCH"),
    # remove: at once, or after a grace period.
    Row("remove finds no link", remove(), NO_LINK, NO, None, "GET", "GET"),
    Row("remove deletes a persistent link", remove(), PERSISTENT, YES, GONE, "GET DELETE", "DELETE"),
    Row("remove deletes a link to pod 0", remove(), POD_0, YES, GONE, "GET DELETE", "DELETE"),
    Row("remove deletes a temporary link", remove(), LAST, YES, GONE, "GET DELETE", "DELETE"),
    Row("remove ignores an expired link", remove(), EXPIRED, NO, EXPIRED, "GET", "GET"),
    Row("remove deletes a waiting link", remove(), WAITING, YES, GONE, "GET DELETE", "DELETE"),
    Row("remove with a grace of 0 deletes", remove(0), PERSISTENT, YES, GONE, "GET DELETE", "DELETE"),
    Row("remove with a grace finds no link", remove(30), NO_LINK, NO, None, "GET", "GET"),
    Row("remove with a grace", remove(30), PERSISTENT, YES, StoredSpec(1, 30, 0), "GET PATCH", "PATCH"),
    Row("remove with a grace from pod 0", remove(30), POD_0, YES, StoredSpec(0, 30, 0), "GET PATCH", "PATCH"),
    Row(
        "remove with a grace of a temporary link",
        remove(30),
        TEMPORARY,
        YES,
        StoredSpec(1, 30, 0),
        "GET PATCH",
        "PATCH",
    ),
    Row("remove with a grace of an expired link", remove(30), EXPIRED, NO, EXPIRED, "GET", "GET"),
    Row(
        "remove with a grace of a waiting link", remove(30), WAITING, YES, StoredSpec(None, 30, 0), "GET PATCH", "PATCH"
    ),
    # remove_if_linked_to: only if the link is to the given pod.
    Row("remove_if_linked_to finds no link", remove_if(1), NO_LINK, NO, None, "GET", "GET"),
    Row("remove_if_linked_to deletes", remove_if(1), PERSISTENT, YES, GONE, "GET DELETE", "DELETE"),
    Row("remove_if_linked_to leaves another pod's", remove_if(2), PERSISTENT, NO, PERSISTENT, "GET", "GET"),
    Row("remove_if_linked_to pod 0 deletes", remove_if(0), POD_0, YES, GONE, "GET DELETE", "DELETE"),
    Row("remove_if_linked_to leaves pod 0's", remove_if(1), POD_0, NO, POD_0, "GET", "GET"),
    Row("remove_if_linked_to pod 0 keeps a waiting link", remove_if(0), WAITING, NO, WAITING, "GET", "GET"),
    Row("remove_if_linked_to deletes a temporary link", remove_if(1), LAST, YES, GONE, "GET DELETE", "DELETE"),
    Row("remove_if_linked_to finds an expired link", remove_if(1), EXPIRED, NO, EXPIRED, "GET", "GET"),
    Row("remove_if_linked_to with a grace of 0", remove_if(1, 0), PERSISTENT, YES, GONE, "GET DELETE", "DELETE"),
    Row(
        "remove_if_linked_to with a grace",
        remove_if(1, 30),
        PERSISTENT,
        YES,
        StoredSpec(1, 30, 0),
        "GET PATCH",
        "PATCH",
    ),
    Row("remove_if_linked_to with a grace leaves another pod's", remove_if(1, 30), POD_0, NO, POD_0, "GET", "GET"),
    # renew: extends a temporary link.
    Row("renew finds no link", renew(), NO_LINK, NO, None, "GET", "GET"),
    Row("renew leaves a persistent link", renew(), PERSISTENT, YES, PERSISTENT, "GET", "GET"),
    Row("renew is not due", renew(), TEMPORARY, YES, TEMPORARY, "GET", "GET"),
    Row("renew is due", renew(), DUE, YES, FRESH, "GET PATCH", "PATCH"),
    Row("renew ignores an expired link", renew(), EXPIRED, NO, EXPIRED, "GET", "GET"),
    Row("renew finds a waiting link", renew(), WAITING, YES, WAITING, "GET", "GET"),
    # links_of and batch_get: only bound uids.
    Row("links_of finds no link", links_of(), NO_LINK, {}, None, "GET", ""),
    Row("links_of finds pod 0", links_of(), POD_0, {"game": 0}, POD_0, "GET", ""),
    Row("links_of ignores an expired link", links_of(), EXPIRED, {}, EXPIRED, "GET", ""),
    Row("links_of omits a waiting link", links_of(), WAITING, {}, WAITING, "GET", ""),
    Row("batch_get finds no link", batch_get(), NO_LINK, {}, None, "GET", ""),
    Row("batch_get finds pod 0, and requests a uid once", batch_get(), POD_0, {0: 1}, POD_0, "GET", ""),
    Row("batch_get ignores an expired link", batch_get(), EXPIRED, {}, EXPIRED, "GET", ""),
    Row("batch_get omits a waiting link", batch_get(), WAITING, {}, WAITING, "GET", ""),
    # Pods without an index are identified by name.
    Row("get finds a named pod", get(), NAMED, ("game-b7", None), NAMED, "GET", ""),
    Row("set names a pod", set_("game-b7"), NO_LINK, None, NAMED, "GET POST", "POST"),
    Row("set moves to a named pod", set_("game-b7"), PERSISTENT, 1, NAMED, "GET PATCH", "PATCH"),
    Row("set moves from a named pod", set_(1), NAMED, "game-b7", P1, "GET PATCH", "PATCH"),
    Row("set of the same name writes nothing", set_("game-b7"), NAMED, "game-b7", NAMED, "GET", "GET"),
    Row("a name of digits is not an index", set_("1"), PERSISTENT, 1, StoredSpec(pod="1"), "GET PATCH", "PATCH"),
    Row("try_set loses to a named pod", try_set("game-x2"), NAMED, LOST_NAMED, NAMED, "GET", "GET"),
    Row("set_if_absent returns a named pod", if_absent(2), NAMED, "game-b7", NAMED, "GET", "GET"),
    Row("compute creates a link to a named pod", compute("game-b7"), NO_LINK, ("game-b7", 1), NAMED, *POST),
    Row("remove_if_linked_to a named pod deletes", remove_if("game-b7"), NAMED, YES, GONE, "GET DELETE", "DELETE"),
    Row("remove_if_linked_to leaves another name's", remove_if("game-x2"), NAMED, NO, NAMED, "GET", "GET"),
    Row("links_of finds a named pod", links_of(), NAMED, {"game": "game-b7"}, NAMED, "GET", ""),
    Row("batch_get finds a named pod", batch_get(), NAMED, {"game-b7": 1}, NAMED, "GET", ""),
]


def in_sentences(row: Row) -> str:
    return str(row)


@pytest.mark.parametrize("row", TABLE, ids=in_sentences)
async def test_operation_without_cache(
    row: Row, client: Client, make_store: Callable[..., LinkStore], stored_links: StoredLinks, uid: str
) -> None:
    if row.link is not None:
        stored_links.create(uid, row.link)
    observed = ObservedClient(client)
    answer = await row.operation(make_store(observed), uid)
    assert (answer, stored_links.get_spec(uid), observed.methods) == (row.answer, row.after, row.cost)


@pytest.mark.parametrize("row", TABLE, ids=in_sentences)
async def test_operation_with_cache(  # noqa: PLR0913, PLR0917 - fixtures
    row: Row,
    client: Client,
    cache: Reflector[Link],
    make_store: Callable[..., LinkStore],
    stored_links: StoredLinks,
    uid: str,
) -> None:
    if row.link is not None:
        await wait_until_cached(cache, stored_links, uid, stored_links.create(uid, row.link))
    observed = ObservedClient(client)
    answer = await row.operation(make_store(observed, links=cache), uid)
    assert (answer, stored_links.get_spec(uid), observed.methods) == (row.answer, row.after, row.cached)


@pytest.mark.parametrize("row", [row for row in TABLE if row.cached], ids=in_sentences)
async def test_stale_cache_costs_requests_but_answers_are_right(
    row: Row, client: Client, make_store: Callable[..., LinkStore], stored_links: StoredLinks, uid: str
) -> None:
    for number, stale in enumerate((NO_LINK, PERSISTENT, POD_0, DUE, EXPIRED, WAITING)):
        each = f"{uid}-{number}"
        stopped = Reflector(client, LINKS)
        if stale is not None:
            stored_links.create(each, stale)
            stopped.observe(LINKS.convert(stored_links.get(each) or {}))
            stored_links.delete(each)
        if row.link is not None:
            stored_links.create(each, row.link)
        answer = await row.operation(make_store(client, links=stopped), each)
        if isinstance(answer, tuple) and answer[1] > row.answer[1]:
            answer = (
                row.answer[0] if answer[0] is None else answer[0],
                row.answer[1],
            )  # the choice was called without effect
        assert (answer, stored_links.get_spec(each)) == (row.answer, row.after), f"the cache knew {stale}"


# Links into another namespace: the policy rejects them, but one may be older than the policy. It binds nothing.
FOREIGN_TABLE = [
    Row("get finds no link", get(), PERSISTENT, None, PERSISTENT, "GET", ""),
    Row("set makes it a link", set_(2), PERSISTENT, None, P2, "GET PATCH", "PATCH"),
    Row("set of the same pod makes it a link", set_(1), PERSISTENT, None, P1, "GET PATCH", "PATCH"),
    Row("try_set wins", try_set(2), PERSISTENT, WON_2, P2, "GET PATCH", "PATCH"),
    Row("set_if_absent takes it over", if_absent(2), PERSISTENT, 2, P2, "GET PATCH", "PATCH"),
    Row("compute takes it over", compute(2), PERSISTENT, (2, 1), P2, "GET PATCH", "PATCH"),
    Row("remove finds no link", remove(), PERSISTENT, NO, PERSISTENT, "GET", "GET"),
    Row("remove with a grace finds no link", remove(30), PERSISTENT, NO, PERSISTENT, "GET", "GET"),
    Row("remove_if_linked_to finds no link", remove_if(1), PERSISTENT, NO, PERSISTENT, "GET", "GET"),
    Row("renew finds no link", renew(), DUE, NO, DUE, "GET", "GET"),
    Row("links_of finds no link", links_of(), PERSISTENT, {}, PERSISTENT, "GET", ""),
    Row("batch_get finds no link", batch_get(), PERSISTENT, {}, PERSISTENT, "GET", ""),
]


async def test_link_into_another_namespace_is_ignored(
    installed: Kubectl, client: Client, make_store: Callable[..., LinkStore], stored_links: StoredLinks, uid: str
) -> None:
    with unguarded(installed, stored_links):
        for number, row in enumerate(FOREIGN_TABLE):
            slip_in(stored_links, f"{uid}-{number}", row.link or PERSISTENT)
    for number, row in enumerate(FOREIGN_TABLE):
        observed, each = ObservedClient(client), f"{uid}-{number}"
        answer = await row.operation(make_store(observed), each)
        assert (answer, stored_links.get_spec(each), observed.methods) == (row.answer, row.after, row.cost), row.title
        link = stored_links.get(each)
        taken_over = row.after != row.link or "PATCH" in row.cost
        assert link is not None
        assert ("namespace" in link["spec"]) is not taken_over, row.title


@contextmanager
def unguarded(kubectl: Kubectl, stored_links: StoredLinks) -> Iterator[None]:
    """Removes the admission policy while the context lasts."""
    kubectl.run("delete", "validatingadmissionpolicybinding", "--all").expect_success()
    try:
        yield
    finally:
        kubectl.run("apply", "--filename", str(ADMISSION)).expect_success()
        stranger = pod_link(uid="stranger", namespace="kube-system")
        namespaced = kubectl.within(stored_links.namespace)
        eventually(
            lambda: FOREIGN_NAMESPACE_MESSAGE in namespaced.dry_run(stranger).stderr, "the policy is in force again"
        )


def slip_in(stored_links: StoredLinks, uid: str, link: StoredSpec) -> None:
    """Creates a link into another namespace; the API server may reject it for a moment longer."""

    def is_in() -> bool:
        try:
            stored_links.create(uid, link, namespace="kube-system")
        except HTTPError as refusal:
            assert FOREIGN_NAMESPACE_MESSAGE in str(refusal)  # noqa: PT017 - any other refusal is a failure
            return False
        return True

    eventually(is_in, "it gets in")
