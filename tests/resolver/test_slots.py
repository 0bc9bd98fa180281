"""Tests look-ups in a route with slots: uids without a link of their own are bound by the link of their slot."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from localcluster import LocalCluster
from resolver.envoy import Envoy, picked_endpoint, refusal
from resolver.in_process import RunningResolver, quote_uid, run_resolver
from resolver.stub_service import PORT, StubService, in_thread
from support.independent_client import PodLink

SLOTS = 4
VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "docs" / "slot-vectors.json").read_text())

#: The slots of these uids with four slots, by the definition of the hash.
ALICE, BOB = 3, 2


@pytest_asyncio.fixture
async def slotted(resolver: RunningResolver, stub_service: StubService) -> AsyncIterator[StubService]:
    """A service with four slots: slot n is bound to pod n mod 3, but the last one is not bound."""
    await in_thread(bind_slots, stub_service)
    await resolver.wait_for_reply(
        f"{stub_service.path}/links/bob", lambda reply: reply.status == 200, "the slots are cached"
    )
    yield stub_service


def bind_slots(service: StubService) -> None:
    service.patch_route(slots=SLOTS)
    for slot in range(SLOTS - 1):
        service.independent_client.create(slot_link(service, slot, slot % 3), service.namespace)


def slot_link(service: StubService, slot: int, pod: int) -> dict[str, object]:
    metadata = {"name": f"{service.name}.x-slot-{slot}"}
    spec = {"routeName": service.name, "slot": slot, "podIndex": pod}
    return {"apiVersion": PodLink.version, "kind": PodLink.kind, "metadata": metadata, "spec": spec}


def link_names(service: StubService) -> set[str]:
    return {link["metadata"]["name"] for link in service.independent_client.all(PodLink, service.namespace)}


async def test_uid_without_a_link_is_bound_by_its_slot_and_nothing_is_written(
    resolver: RunningResolver, slotted: StubService
) -> None:
    before = await in_thread(link_names, slotted)
    path = f"{slotted.path}/links/bob"
    expected = {
        "uid": "bob",
        "podName": f"game-{BOB}",
        "podIndex": BOB,
        "address": f"10.9.0.{BOB + 1}:{PORT}",
        "ip": f"10.9.0.{BOB + 1}",
        "port": PORT,
        "host": None,
        "expireTime": None,
        "boundBy": "Slot",
        "slot": BOB,
    }
    for query in ("", "?consistency=strong"):
        for method in ("GET", "POST"):
            reply = await resolver.http.request(method, path + query)
            assert (reply.status, reply.json) == (200, expected)
        batch = await resolver.http.post(f"{slotted.path}/links:batchGet{query}", {"uids": ["bob", "carol", "alice"]})
        assert batch.json["links"] == {"bob": expected, "carol": expected | {"uid": "carol"}}
        assert batch.json["problems"]["alice"]["type"].endswith("waits-for-pod")
    assert await in_thread(link_names, slotted) == before


async def test_slot_that_is_not_bound_is_a_problem_and_its_uids_are_not_linked_instead(
    resolver: RunningResolver, slotted: StubService
) -> None:
    path = f"{slotted.path}/links/alice"
    message = "the uid belongs to slot 3 of 'game', which is not bound to a pod yet"
    for query in ("", "?consistency=strong"):
        for method in ("GET", "POST"):
            reply = await resolver.http.request(method, path + query)
            assert reply.problem == (503, "waits-for-pod", message)
    assert not any(name.endswith("alice") for name in await in_thread(link_names, slotted))
    await in_thread(slotted.independent_client.create, slot_link(slotted, ALICE, 2), slotted.namespace)
    reply = await resolver.wait_for_reply(path, lambda reply: reply.status == 200, "the slot is bound")
    assert (reply.json["podIndex"], reply.json["slot"]) == (2, ALICE)


async def test_link_of_the_uid_counts_before_that_of_its_slot(resolver: RunningResolver, slotted: StubService) -> None:
    await in_thread(slotted.link, "bob", 0)
    path = f"{slotted.path}/links/bob"
    reply = await resolver.wait_for_reply(path, lambda reply: reply.json["boundBy"] == "Link", "the link is cached")
    assert (reply.json["podIndex"], reply.json["slot"]) == (0, None)
    await in_thread(slotted.unlink, "bob")
    reply = await resolver.wait_for_reply(path, lambda reply: reply.json["boundBy"] == "Slot", "it is deleted")
    assert (reply.json["podIndex"], reply.json["slot"]) == (BOB, BOB)


async def test_slot_is_neither_renewed_nor_unlinked_for_one_of_its_uids(
    cluster: LocalCluster, stub_service: StubService
) -> None:
    await in_thread(bind_slots, stub_service)
    options = {"namespaces": (stub_service.namespace,), "link_changes": True}
    async with run_resolver(cluster.kubeconfig, **options) as resolver:
        path, slot = f"{stub_service.path}/links/bob", f"game.x-slot-{BOB}"
        await resolver.wait_for_reply(path, lambda reply: reply.status == 200, "the slots are cached")
        for reply in (await resolver.http.post(f"{path}/renew"), await resolver.http.delete(path)):
            assert reply.problem[:2] == (404, "not-linked")
        assert slot in await in_thread(link_names, stub_service)
        claimed = await resolver.http.post(f"{path}/claim", {"podName": "game-0"})
        assert (claimed.status, claimed.json["won"]) == (200, True)
        assert (await resolver.http.get(path)).json["boundBy"] == "Link"
        assert (await resolver.http.delete(path)).status == 204
        assert (await resolver.http.get(path)).json["boundBy"] == "Slot"


async def test_move_of_a_slot_is_streamed(resolver: RunningResolver, slotted: StubService) -> None:
    async with resolver.http.session.get(f"{resolver.http.base}{slotted.path}/moves") as response:
        assert await response.content.readline() == b": moves from now on\n"
        name = f"game.x-slot-{BOB}"
        patch = {"spec": {"podIndex": 1}}
        await in_thread(slotted.independent_client.patch, PodLink, name, slotted.namespace, patch)
        lines = [await response.content.readline() for _ in range(3)]
    assert lines[1] == b"event: slot-moved\n"
    assert json.loads(lines[2].removeprefix(b"data: ")) == {"slot": BOB, "before": BOB, "after": 1}


async def test_gateway_sends_uids_to_the_pods_of_their_slots(envoy: Envoy, stub_service: StubService) -> None:
    await in_thread(bind_slots, stub_service)
    path = f"{stub_service.path}/links/bob"
    await envoy.resolver.wait_for_reply(path, lambda reply: reply.status == 200, "the slots are cached")
    before = await in_thread(link_names, stub_service)
    for uid in ("bob", "carol"):
        assert picked_endpoint(await envoy.pick([("x-user-id", uid)])) == stub_service.endpoint(BOB)
    assert picked_endpoint(await envoy.pick([("x-user-id", "alice")])) == stub_service.endpoint(2)  # its own link
    assert refusal(await envoy.pick([("x-user-id", "dave")]))[:2] == (503, "waits_for_pod")
    assert await in_thread(link_names, stub_service) == before


async def test_slots_are_those_of_the_test_vectors(resolver: RunningResolver, slotted: StubService) -> None:
    for uid, hashed in {vector["uid"]: int(vector["hash"], 16) for vector in VECTORS}.items():
        reply = await resolver.http.get(f"{slotted.path}/links/{quote_uid(uid)}")
        slot = hashed % SLOTS
        assert reply.json["slot"] == slot if slot < SLOTS - 1 else f"slot {slot} " in reply.problem[2]
