"""Tests that invalid parameters are rejected by name, before any request."""

import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from links.clients import ObservedClient
from links.stored_links import TTL, StoredLinks, StoredSpec
from statefulroute.cluster.client import Client
from statefulroute.cluster.link_store import LinkStore
from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.times import TimeInterval

pytestmark = pytest.mark.asyncio(loop_scope="module")

Operation = Callable[..., Awaitable[Any]]


async def choose() -> int:
    return 1


#: Every operation by name, with valid parameters that keyword arguments replace.
OPERATIONS: dict[str, Operation] = {
    "get": lambda store, route="game", uid="alice": store.get(route, uid),
    "fresh get": lambda store, route="game", uid="alice": store.get(route, uid, fresh=True),
    "set": lambda store, route="game", uid="alice", pod=1, ttl_seconds=None: store.set(
        route, uid, pod, ttl_seconds=ttl_seconds
    ),
    "try_set": lambda store, route="game", uid="alice", pod=1, ttl_seconds=None: store.try_set(
        route, uid, pod, ttl_seconds=ttl_seconds
    ),
    "set_if_absent": lambda store, route="game", uid="alice", pod=1, ttl_seconds=None: store.set_if_absent(
        route, uid, pod, ttl_seconds=ttl_seconds
    ),
    "compute_if_absent": lambda store, route="game", uid="alice", ttl_seconds=None: store.compute_if_absent(
        route, uid, choose, ttl_seconds=ttl_seconds
    ),
    "remove": lambda store, route="game", uid="alice", grace_seconds=None: store.remove(
        route, uid, grace_seconds=grace_seconds
    ),
    "remove_if_linked_to": lambda store, route="game", uid="alice", pod=1, grace_seconds=None: (
        store.remove_if_linked_to(route, uid, pod, grace_seconds=grace_seconds)
    ),
    "renew": lambda store, route="game", uid="alice": store.renew(route, uid),
    "links_of": lambda store, route="game", uid="alice": store.links_of(uid, ["lobby", route]),
    "batch_get": lambda store, route="game", uid="alice": store.batch_get(route, ["bob", uid]),
}

UIDS: dict[str, Any] = {
    "none": None,
    "a number": 7,
    "bytes": b"alice",
    "a list": ["alice"],
    "empty": "",
    "190 plain characters": "a" * 190,
    "94 bytes to encode": "A" * 94,
    "94 bytes of 47 characters": "é" * 47,
    "a line break": "alice\n",
    "a zero byte": "a\0b",
    "an escape": "\x1b[31m",
    "a delete": "a\x7f",
    "a next line (U+0085)": "a\x85b",
    "a lone surrogate": "a\ud800b",
    "a lone low surrogate": "\udfff",
}
ROUTES: dict[str, Any] = {
    "none": None,
    "a number": 7,
    "empty": "",
    "a capital": "Game",
    "a dot": "game.eu",
    "a slash": "game/status",
    "a path upwards": "..",
    "a query": "game?dryRun=All",
    "a blank": "my game",
    "a line break at its end": "game\n",
    "a dash at its start": "-game",
    "a dash at its end": "game-",
    "64 characters": "a" * 64,
    "no ASCII": "spiél",
    "a lone surrogate": "\ud800",
}
NO_NUMBERS: dict[str, Any] = {
    "true": True,
    "false": False,
    "a whole float": 1.0,
    "a fraction": 1.5,
    "not a number": math.nan,
    "infinity": math.inf,
    "a text": "1",
    "a list": [1],
    "beyond int32": 2**31,
    "far beyond int32": 10**5000,
    "far below zero": -(10**5000),
}
PODS = NO_NUMBERS | {
    "none": None,
    "negative": -1,
    "a text": "no name",
    "an empty text": "",
    "a name with a capital": "Game-1",
    "a name with a slash": "game/1",
    "a name with a line break at its end": "game-1\n",
    "a name with a dot at its end": "game.",
    "a name of 254 characters": "a" * 254,
    "a name with a lone surrogate": "\ud800",
}
SECONDS = NO_NUMBERS | {"negative": -1}

BAD: dict[str, dict[str, Any]] = {
    "uid": UIDS,
    "route": ROUTES,
    "pod": PODS,
    "ttl_seconds": SECONDS | {"zero": 0},
    "grace_seconds": SECONDS,
}
_TAKES = {name: operation.__code__.co_varnames for name, operation in OPERATIONS.items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("field", "bad"),
    [pytest.param(field, bad, id=f"{field}: {what}") for field, values in BAD.items() for what, bad in values.items()],
)
async def test_rejects_invalid_parameter_by_name_before_any_request(
    field: str, bad: Any, client: Client, make_store: Callable[..., LinkStore]
) -> None:
    observed = ObservedClient(client)
    store = make_store(observed)
    for name, operation in OPERATIONS.items():
        if field in _TAKES[name]:
            with pytest.raises(InvalidParameterError) as refusal:
                await operation(store, **{field: bad})
            assert refusal.value.field == field, name
            assert str(refusal.value).startswith(f"{field} "), name
            assert len(str(refusal.value)) < 300, name
    assert observed.requests == []


@pytest.mark.parametrize("bad", [0, -1, math.nan, True], ids=repr)
async def test_rejects_invalid_parameter_of_a_caller_that_joins_a_request(
    bad: Any, client: Client, make_store: Callable[..., LinkStore], uid: str
) -> None:
    store = make_store(client)
    fields = []

    async def ask_again() -> int:
        with pytest.raises(InvalidParameterError) as refusal:
            await store.compute_if_absent("game", uid, choose, ttl_seconds=bad)
        fields.append(refusal.value.field)
        return 1

    assert await store.compute_if_absent("game", uid, ask_again) == 1
    assert fields == ["ttl_seconds"]


@pytest.mark.parametrize("chosen", [-1, True, 1.0, 2**31, None, "Game-1"], ids=repr)
async def test_rejects_a_choice_that_is_not_a_pod(
    chosen: Any, store: LinkStore, stored_links: StoredLinks, uid: str
) -> None:
    async def choose_badly() -> Any:
        return chosen

    with pytest.raises(InvalidParameterError) as refusal:
        await store.compute_if_absent("game", uid, choose_badly)
    assert refusal.value.field == "pod"
    assert stored_links.get_spec(uid) is None


@pytest.mark.parametrize(
    "uid",
    [
        "a" * 189,
        "A" * 93,
        "é" * 46,
        "x-1",
        "X",
        "a b",
        "a/b",
        "../status",
        "a%2fb",
        "a?b#c",
        "😀",
        "\u2028",
        "\u200d",
        "\u202e",
        "\ufeff",
        "\uffff",
        "a.b-c",
        "a..b",
        ".",
        "..",
        "-",
        "0",
        "null",
        "%",
        '"',
        "\\",
        "'",
        " ",
    ],
    ids=ascii,
)
async def test_binds_and_reads_every_valid_uid(uid: str, store: LinkStore) -> None:
    assert await store.set("game", uid, 0) is None
    link = await store.get("game", uid)
    assert link is not None
    assert (link.pod, link.uid) == (0, uid)
    assert await store.batch_get("game", [uid]) == {0: [uid]}
    assert await store.links_of(uid, ["game"]) == {"game": 0}
    assert await store.set("game", uid, 2**31 - 1, ttl_seconds=2**31 - 1) == 0
    assert await store.renew("game", uid)
    assert await store.remove_if_linked_to("game", uid, 2**31 - 1)
    assert await store.get("game", uid) is None


@pytest.mark.parametrize("ahead", ["9999-12-31T23:59:59Z", "2900-01-01T00:00:00+14:00"])
async def test_link_with_a_renew_time_in_the_future_lives_until_it_is_set_again(
    ahead: str, client: Client, make_store: Callable[..., LinkStore], stored_links: StoredLinks, uid: str
) -> None:
    stored_links.create(uid, StoredSpec(1, TTL), renewTime=ahead)
    later = make_store(client, clock=lambda: TimeInterval.at(datetime(2899, 1, 1, tzinfo=UTC)))
    for store in (make_store(client), later):
        assert await store.renew("game", uid)
        assert await store.set_if_absent("game", uid, 2) == 1
    assert stored_links.get_spec(uid) != StoredSpec(1, TTL, 0)
    assert await make_store(client).set("game", uid, 1, ttl_seconds=TTL) == 1
    assert stored_links.get_spec(uid) == StoredSpec(1, TTL, 0)  # the old renew time would have extended the TTL


async def test_ttl_of_a_link_without_renew_time_counts_from_its_creation(
    client: Client, make_store: Callable[..., LinkStore], stored_links: StoredLinks, uid: str
) -> None:
    stored_links.create(uid, StoredSpec(1, TTL))
    link = stored_links.get(uid)
    assert link is not None
    end = datetime.fromisoformat(link["metadata"]["creationTimestamp"]) + timedelta(seconds=TTL)
    assert (
        await make_store(client, clock=lambda: TimeInterval.at(end - timedelta(microseconds=1))).get("game", uid)
        is not None
    )
    assert await make_store(client, clock=lambda: TimeInterval.at(end)).get("game", uid) is None
