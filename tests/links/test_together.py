"""Tests concurrent operations: contention, cancellation, deadlines, and calls that share one request."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from links.clients import ObservedClient, RequestBarrier
from links.stored_links import TTL, StoredLinks, StoredSpec
from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.errors import APIError, NotFoundError
from statefulroute.cluster.link_store import LinkStore
from statefulroute.cluster.reflector import Reflector
from statefulroute.domain.errors import (
    ContendedError,
    DeadlineExceededError,
    InvalidParameterError,
    PodNotAvailableError,
)
from statefulroute.domain.link import Link
from statefulroute.domain.operations import Attempt
from support.independent_client import PodLink
from support.link_recorder import recording
from support.waiting import wait_until
from unit.cluster.fake_api import run_fake_api, status_object
from unit.cluster.kubeconfigs import write_kubeconfig

pytestmark = pytest.mark.asyncio(loop_scope="module")

Make = Callable[..., LinkStore]


def chooses(pod: int) -> Callable[[], Awaitable[int]]:
    async def choose() -> int:
        await asyncio.sleep(0)
        return pod

    return choose


EVERY_OPERATION: dict[str, Callable[[LinkStore, str], Awaitable[Any]]] = {
    "get": lambda store, uid: store.get("game", uid),
    "set": lambda store, uid: store.set("game", uid, 2),
    "try_set": lambda store, uid: store.try_set("game", uid, 2),
    "set_if_absent": lambda store, uid: store.set_if_absent("game", uid, 2),
    "compute_if_absent": lambda store, uid: store.compute_if_absent("game", uid, chooses(2)),
    "remove": lambda store, uid: store.remove("game", uid),
    "remove with a grace": lambda store, uid: store.remove("game", uid, grace_seconds=30),
    "remove_if_linked_to": lambda store, uid: store.remove_if_linked_to("game", uid, 1),
    "renew": lambda store, uid: store.renew("game", uid),
    "links_of": lambda store, uid: store.links_of(uid, ["game"]),
    "batch_get": lambda store, uid: store.batch_get("game", [uid]),
}

#: Operations, with the link before each, its method, the link after it, and the answer of a second call.
WRITES: list[Any] = [
    pytest.param(EVERY_OPERATION["set"], None, "POST", StoredSpec(2), 2, id="set creates"),
    pytest.param(EVERY_OPERATION["set"], StoredSpec(1), "PATCH", StoredSpec(2), 2, id="set moves"),
    pytest.param(
        EVERY_OPERATION["try_set"],
        StoredSpec(1, TTL, 0),
        "PATCH",
        StoredSpec(2),
        Attempt(won=True, holder=2),
        id="try_set",
    ),
    pytest.param(EVERY_OPERATION["set_if_absent"], None, "POST", StoredSpec(2), 2, id="set_if_absent"),
    pytest.param(EVERY_OPERATION["compute_if_absent"], None, "POST", StoredSpec(2), 2, id="compute_if_absent"),
    pytest.param(EVERY_OPERATION["remove"], StoredSpec(1), "DELETE", None, False, id="remove"),
    pytest.param(
        EVERY_OPERATION["remove with a grace"],
        StoredSpec(1),
        "PATCH",
        StoredSpec(1, 30, 0),
        True,
        id="remove with a grace",
    ),
    pytest.param(
        EVERY_OPERATION["remove_if_linked_to"], StoredSpec(1), "DELETE", None, False, id="remove_if_linked_to"
    ),
    pytest.param(
        EVERY_OPERATION["renew"], StoredSpec(1, TTL, TTL - 1), "PATCH", StoredSpec(1, TTL, 0), True, id="renew"
    ),
]


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(("operation", "before", "method", "after", "again"), WRITES)
@pytest.mark.parametrize("moment", ["before its write", "after its write"])
async def test_cancelled_operation_takes_effect_completely_or_not_at_all(  # noqa: PLR0913, PLR0917
    operation: Callable[[LinkStore, str], Awaitable[Any]],
    before: StoredSpec | None,
    method: str,
    after: StoredSpec | None,
    again: Any,
    moment: str,
    client: Client,
    make_store: Make,
    stored_links: StoredLinks,
    uid: str,
) -> None:
    if before is not None:
        stored_links.create(uid, before)
    barrier = RequestBarrier(method)
    store = make_store(ObservedClient(client, **{"before" if moment == "before its write" else "after": barrier}))
    task = asyncio.ensure_future(operation(store, uid))
    await barrier.reached()
    await cancelled(task)
    if operation is EVERY_OPERATION["compute_if_absent"]:
        barrier.opened.set()  # the shared request continues without its caller
        await wait_until(lambda: stored_links.get_spec(uid) == after, "the operation took effect", seconds=10)
    assert stored_links.get_spec(uid) == (
        before if moment == "before its write" and not barrier.opened.is_set() else after
    )
    barrier.opened.set()
    if moment == "after its write":
        assert await operation(store, uid) == again
    else:
        await operation(store, uid)
    assert stored_links.get_spec(uid) == after


@pytest.mark.parametrize("name", EVERY_OPERATION)
async def test_operation_ends_at_its_deadline_if_the_server_does_not_respond(
    name: str, make_store: Make, tmp_path: Path
) -> None:
    async with stalled(tmp_path) as (client, _):
        store = make_store(client, deadline_seconds=0.05)
        with pytest.raises(DeadlineExceededError, match=r"within 0\.05 s"):
            await EVERY_OPERATION[name](store, "alice")


async def test_write_without_response_ends_at_the_deadline(make_store: Make, tmp_path: Path) -> None:
    async with stalled(tmp_path) as (client, api):
        task = asyncio.ensure_future(make_store(client, deadline_seconds=1.5).set("game", "alice", 1))
        (await api.call()).respond_error(404, "NotFound", "not found")
        assert (await api.call()).method == "POST"
        with pytest.raises(DeadlineExceededError):
            await task


async def test_shared_request_ends_at_the_deadline_for_all_callers(make_store: Make, tmp_path: Path) -> None:
    async with stalled(tmp_path) as (client, api):
        store = make_store(client, deadline_seconds=1.0)
        callers = [store.compute_if_absent("game", "alice", chooses(1)) for _ in range(8)]
        answers = await asyncio.gather(*callers, return_exceptions=True)
        assert {type(answer) for answer in answers} == {DeadlineExceededError}
        await api.call()
        assert api.has_no_calls


async def test_time_limit_of_a_caller_applies_only_to_it(make_store: Make, tmp_path: Path) -> None:
    async with stalled(tmp_path) as (client, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await make_store(client).set("game", "alice", 1)


async def test_retries_a_request_after_too_many_requests(make_store: Make, tmp_path: Path) -> None:
    async with stalled(tmp_path) as (client, api):
        task = asyncio.ensure_future(make_store(client).set("game", "alice", 1))
        (await api.call()).respond_error(404, "NotFound", "not found")
        (await api.call()).respond_error(429, "TooManyRequests", "later")
        (await api.call()).respond_error(404, "NotFound", "not found")
        (await api.call()).respond_error(403, "Forbidden", "not you")
        with pytest.raises(APIError, match="not you"):
            await task


async def test_deadline_error_names_the_busy_server(make_store: Make, tmp_path: Path) -> None:
    async with stalled(tmp_path) as (client, api):
        task = asyncio.ensure_future(make_store(client).set("game", "alice", 1))
        answering = asyncio.create_task(refuse_all(api))
        with pytest.raises(APIError, match="later"):
            await task
        answering.cancel()


async def refuse_all(api: Any) -> None:
    """Responds that there is no link, and that none can be created now."""
    while True:
        call = await api.call()
        if call.method == "GET":
            call.respond_error(404, "NotFound", "not found")
        else:
            call.respond_error(429, "TooManyRequests", "later")


async def test_missing_namespace_is_reported_at_once(client: Client, uid: str) -> None:
    observed = ObservedClient(client)
    with pytest.raises(NotFoundError, match="namespaces"):
        await LinkStore(observed, "no-such-namespace").set("game", uid, 1)  # type: ignore[arg-type]
    assert observed.methods == "GET POST"


async def test_error_names_the_field_that_only_the_server_rejects(make_store: Make, tmp_path: Path) -> None:
    async with stalled(tmp_path) as (client, api):
        task = asyncio.ensure_future(make_store(client).set("game", "alice", 1))
        (await api.call()).respond_error(404, "NotFound", "not found")
        refusal = status_object(422, "Invalid", "must be even")
        (await api.call()).respond(refusal | {"details": {"causes": [{"field": "spec.podIndex"}]}}, 422)
        with pytest.raises(InvalidParameterError, match="must be even") as refused:
            await task
        assert refused.value.field == "spec.podIndex"


async def test_waits_for_a_link_that_is_being_deleted(
    client: Client, make_store: Make, stored_links: StoredLinks, uid: str
) -> None:
    stored_links.create(uid, StoredSpec(1))
    stored_links.independent_client.patch(
        PodLink, f"game.{uid}", stored_links.namespace, {"metadata": {"finalizers": ["example.com/slow"]}}
    )
    stored_links.delete(uid)
    looks = 0

    async def let_go(method: str, path: str) -> None:
        nonlocal looks
        del path
        looks += 1
        if (method, looks) == ("GET", 3):
            change = {"metadata": {"finalizers": None}}
            await asyncio.to_thread(
                stored_links.independent_client.patch, PodLink, f"game.{uid}", stored_links.namespace, change
            )

    observed = ObservedClient(client, before=let_go)
    assert await make_store(observed).set("game", uid, 2) is None
    assert observed.methods == "GET GET GET POST"
    assert stored_links.get_spec(uid) == StoredSpec(2)


async def test_write_after_a_concurrent_change_applies_the_rule_again(
    client: Client, store: LinkStore, make_store: Make, stored_links: StoredLinks, uid: str
) -> None:
    barrier = RequestBarrier("POST")
    slow = asyncio.create_task(make_store(ObservedClient(client, before=barrier)).set_if_absent("game", uid, 1))
    await barrier.reached()
    assert await store.set_if_absent("game", uid, 2) == 2
    barrier.opened.set()
    assert await slow == 2
    assert stored_links.get_spec(uid) == StoredSpec(2)


async def test_removal_after_a_concurrent_change_keeps_the_other_pods_link(
    client: Client, store: LinkStore, make_store: Make, stored_links: StoredLinks, uid: str
) -> None:
    stored_links.create(uid, StoredSpec(1))
    barrier = RequestBarrier("DELETE")
    slow = asyncio.create_task(make_store(ObservedClient(client, before=barrier)).remove_if_linked_to("game", uid, 1))
    await barrier.reached()
    assert await store.set("game", uid, 2) == 1
    barrier.opened.set()
    assert await slow is False
    assert stored_links.get_spec(uid) == StoredSpec(2)


async def test_two_alternating_movers_get_the_pod_before(
    client: Client, make_store: Make, stored_links: StoredLinks, uid: str
) -> None:
    stored_links.create(uid, StoredSpec(9))
    with recording(stored_links.independent_client, stored_links.namespace) as recorder:

        async def move(store: LinkStore, pods: range) -> list[tuple[int | None, int]]:
            return [(await store.set("game", uid, pod), pod) for pod in pods]

        moves = await asyncio.gather(
            move(make_store(client), range(100, 125)), move(make_store(client), range(200, 225))
        )
        held = [version.pod for version in recorder.versions(f"game.{uid}")]
    # The answers agree with the recorded versions: each pod follows the one that its mover got as the answer.
    assert sorted((before, after) for one in moves for before, after in one) == sorted(pairwise(held))


async def test_contention_at_every_try_raises(
    client: Client, make_store: Make, stored_links: StoredLinks, uid: str
) -> None:
    stored_links.create(uid, StoredSpec(0))
    moves = 0

    async def overtake(method: str, path: str) -> None:
        nonlocal moves
        del path
        if method == "PATCH":
            moves += 1
            await asyncio.to_thread(stored_links.patch_spec, uid, podIndex=moves)

    with pytest.raises(ContendedError, match="12 times"):
        await make_store(ObservedClient(client, before=overtake)).set("game", uid, 77)
    assert stored_links.get_spec(uid) == StoredSpec(12)


async def test_64_concurrent_clients_create_one_link_by_one_write(
    connection: Connection, make_store: Make, stored_links: StoredLinks, uid: str
) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(connection, max_connections=2)) for _ in range(64)]
        observed = [ObservedClient(client) for client in clients]
        with recording(stored_links.independent_client, stored_links.namespace) as recorder:
            answers = await asyncio.gather(
                *(
                    make_store(each, deadline_seconds=30).compute_if_absent("game", uid, chooses(number))
                    for number, each in enumerate(observed)
                )
            )
            versions = recorder.versions(f"game.{uid}")
    assert [version.pod for version in versions] == [answers[0]]
    assert set(answers) == {answers[0]}
    link = stored_links.get(uid)
    assert link is not None
    assert link["metadata"]["generation"] == 1
    assert {method for each in observed for method in each.requests} <= {"GET", "POST"}


async def test_64_callers_of_one_store_share_one_request(
    client: Client, make_store: Make, stored_links: StoredLinks, uid: str
) -> None:
    observed, choices = ObservedClient(client), 0

    async def choose() -> int:
        nonlocal choices
        choices += 1
        await asyncio.sleep(0.01)
        return choices

    store = make_store(observed)
    answers = await asyncio.gather(*(store.compute_if_absent("game", uid, choose) for _ in range(64)))
    assert (set(answers), choices, observed.methods) == ({1}, 1, "GET POST")
    assert stored_links.get_spec(uid) == StoredSpec(1)
    await store.remove("game", uid)
    assert await store.compute_if_absent("game", uid, choose) == 2  # a finished request is not shared


async def test_requests_of_other_uids_and_routes_are_separate(store: LinkStore, uid: str) -> None:
    answers = await asyncio.gather(
        store.compute_if_absent("game", uid, chooses(1)),
        store.compute_if_absent("chat", uid, chooses(2)),
        store.compute_if_absent("game", f"{uid}-b", chooses(3)),
    )
    assert answers == [1, 2, 3]
    assert await store.links_of(uid, ["game", "chat", "nowhere"]) == {"game": 1, "chat": 2}
    assert await store.batch_get("game", [uid, f"{uid}-b", f"{uid}-c"]) == {1: [uid], 3: [f"{uid}-b"]}


@pytest.mark.parametrize("who", ["the first", "another", "all but one"])
async def test_cancelled_caller_does_not_affect_the_others(
    who: str, client: Client, make_store: Make, uid: str
) -> None:
    barrier = RequestBarrier("POST")
    store = make_store(ObservedClient(client, before=barrier))
    callers = [asyncio.create_task(store.compute_if_absent("game", uid, chooses(n))) for n in range(8)]
    await barrier.reached()
    leaving = {"the first": callers[:1], "another": callers[3:4], "all but one": callers[:7]}[who]
    for caller in leaving:
        await cancelled(caller)
    barrier.opened.set()
    assert {await caller for caller in callers if caller not in leaving} == {0}


async def test_failed_choice_fails_for_all_present_callers_only(store: LinkStore, uid: str) -> None:
    async def fail() -> int:
        await asyncio.sleep(0)
        raise PodNotAvailableError("no pod takes new users now")

    answers = await asyncio.gather(
        *(store.compute_if_absent("game", uid, fail) for _ in range(4)), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {PodNotAvailableError}
    assert await store.compute_if_absent("game", uid, chooses(1)) == 1


async def test_failure_after_all_callers_are_cancelled_is_silent(store: LinkStore, uid: str) -> None:
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    chosen = asyncio.Event()

    async def fail() -> int:
        await chosen.wait()
        raise PodNotAvailableError("no pod takes new users now")

    caller = asyncio.create_task(store.compute_if_absent("game", uid, fail))
    await asyncio.sleep(0.05)
    await cancelled(caller)
    chosen.set()
    await asyncio.sleep(0.05)
    del caller
    gc.collect()
    loop.set_exception_handler(None)
    assert complaints == []
    assert await store.compute_if_absent("game", uid, chooses(1)) == 1


async def test_store_with_cache_sees_its_own_writes_at_once(
    client: Client, make_store: Make, cache: Reflector[Link], uid: str
) -> None:
    observed = ObservedClient(client)
    store = make_store(observed, links=cache)

    async def held() -> int | None:
        link = await store.get("game", uid)
        return None if link is None else link.pod

    await store.set("game", uid, 1)
    assert await held() == 1
    await store.set("game", uid, 2)
    assert await held() == 2
    await store.remove("game", uid)
    assert await held() is None
    await store.set("game", uid, 3)
    assert await held() == 3
    assert observed.methods == "POST PATCH DELETE POST"


async def test_batch_requests_every_uid_once_with_limited_concurrency(
    client: Client, make_store: Make, uid: str
) -> None:
    concurrent = max_concurrent = 0

    async def before(method: str, path: str) -> None:
        nonlocal concurrent, max_concurrent
        del method, path
        concurrent += 1
        max_concurrent = max(max_concurrent, concurrent)

    async def after(method: str, path: str) -> None:
        nonlocal concurrent
        del method, path
        concurrent -= 1

    observed = ObservedClient(client, before, after)
    uids = [f"{uid}-{number}" for number in range(100)]
    await make_store(client).set("game", uids[7], 0)
    assert await make_store(observed).batch_get("game", uids) == {0: [uids[7]]}
    assert (len(observed.requests), max_concurrent) == (100, 16)


async def test_failed_batch_raises_the_error(make_store: Make, tmp_path: Path) -> None:
    async with stalled(tmp_path) as (client, api):
        task = asyncio.ensure_future(make_store(client).batch_get("game", ["alice", "bob"]))
        (await api.call()).respond_error(403, "Forbidden", "not you")
        with pytest.raises(APIError, match="not you"):
            await task


class stalled:  # noqa: N801 - a context manager
    """A client of a fake API server that responds only as the test directs, and that server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> tuple[Client, Any]:
        api = await self._stack.enter_async_context(run_fake_api())
        kubeconfig = write_kubeconfig(self._folder / "kubeconfig", server=api.server)
        connection = await self._stack.enter_async_context(connect(kubeconfig))
        return await self._stack.enter_async_context(Client(connection)), api

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
