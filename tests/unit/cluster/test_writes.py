"""Writers send minimal conditional patches, and update the cache with the response."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from statefulroute.api.annotations import POD_DELETION_COST, WEIGHTED_LOAD
from statefulroute.api.route_status import PodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import LinkPhase, LinkReason, LossCause, MoveReason, RoutingState, ServiceState
from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import utc_now
from statefulroute.cluster.codec import LINKS, PODS, ROUTES
from statefulroute.cluster.errors import APIError, ConflictError, NotFoundError, UnreachableError
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.writes import (
    LinkWriter,
    PodWriter,
    RouteWriter,
    hand_over_patch,
    link_status_patch,
    pod_patch,
    spec_patch,
    status_patch,
)
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.link import HandOver, Link, LinkStatus, ObservedHandOver
from statefulroute.domain.pod import Pod, PodAnnotations
from statefulroute.domain.route import Route
from unit.cluster.fake_api import FakeAPI, status_object
from unit.cluster.objects import link, metadata, pod, route

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)

ON_2 = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-2'", 2, "game-2", "game-2.game")
ON_3 = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-3'", 3, "game-3", None)
ON_2_ELSEWHERE = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-2'", 2, "game-2", "elsewhere")
LOST_ON_2 = LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "pod 2 is gone", 2, "game-2")
PENDING = LinkStatus(LinkPhase.PENDING, LinkReason.POD_NOT_FOUND, "no pod of index 2 now")
FULL = LinkStatus(LinkPhase.PENDING, LinkReason.AT_CAPACITY, "all pods are full", facts_hash="f00d")
PENDING_FOR_ROUTE = LinkStatus(LinkPhase.PENDING, LinkReason.ROUTE_NOT_FOUND, "no route")
REJECTED = LinkStatus(LinkPhase.REJECTED, LinkReason.NOT_LOCAL_NAMESPACE, "only local namespace is supported")


def a_link(status: LinkStatus | None = None, **more: Any) -> Link:
    fields: dict[str, Any] = {
        "route": RouteKey("games", "game"),
        "name": "game.alice",
        "resource_version": 41,
        "generation": 3,
        "status": status,
        "transition_time": EARLIER if status else None,
    }
    return Link(**fields | more)


UNCHANGED = object()


@pytest.mark.parametrize(
    ("before", "after", "transition", "bound"),
    [
        (None, PENDING, NOW, None),
        (None, ON_2, NOW, NOW),
        (PENDING, ON_2, NOW, NOW),
        (REJECTED, ON_2, NOW, NOW),
        (ON_2, ON_2, EARLIER, UNCHANGED),
        (ON_2, ON_2_ELSEWHERE, EARLIER, UNCHANGED),
        (ON_2, ON_3, EARLIER, NOW),
        (ON_2, PENDING, NOW, None),
        (PENDING, PENDING_FOR_ROUTE, EARLIER, None),
        (PENDING, REJECTED, EARLIER, None),
        (ON_2, REJECTED, NOW, None),
    ],
    ids=[
        "new, pending",
        "new, bound",
        "pending, bound",
        "rejected, bound",
        "unchanged",
        "another host",
        "another pod",
        "bound, pending",
        "pending for another reason",
        "pending, rejected",
        "bound, rejected",
    ],
)
def test_the_times_of_a_links_status_follow_its_transitions(
    before: LinkStatus | None, after: LinkStatus, transition: datetime, bound: object
) -> None:
    status = link_status_patch(a_link(before), after, NOW)
    formatted = {NOW: "2026-06-01T12:00:00Z", EARLIER: "2026-06-01T11:00:00Z", None: None}
    (condition,) = status["conditions"]
    assert condition["lastTransitionTime"] == formatted[transition]
    assert status.get("boundTime", UNCHANGED) == (UNCHANGED if bound is UNCHANGED else formatted[bound])  # type: ignore[index]


def test_a_bound_links_status_has_every_field() -> None:
    expire_time = datetime(2026, 6, 2, 0, 0, 0, 500_000, tzinfo=UTC)
    assert json.loads(json.dumps(link_status_patch(a_link(expire_time=expire_time), ON_2, NOW))) == {
        "phase": "Bound",
        "podIndex": 2,
        "podName": "game-2",
        "host": "game-2.game",
        "expireTime": "2026-06-02T00:00:00.500000Z",
        "boundTime": "2026-06-01T12:00:00Z",
        "observedGeneration": 3,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Bound",
                "message": "bound to pod 'game-2'",
                "observedGeneration": 3,
                "lastTransitionTime": "2026-06-01T12:00:00Z",
            }
        ],
    }


def test_fields_that_no_longer_apply_are_removed() -> None:
    status = link_status_patch(a_link(ON_2), PENDING, NOW)
    assert {field for field, value in status.items() if value is None} == {
        "podIndex",
        "podName",
        "host",
        "expireTime",
        "boundTime",
    }
    assert (status["phase"], status["conditions"][0]["status"]) == ("Pending", "False")


@pytest.mark.parametrize(
    ("before", "after", "written"),
    [(None, ON_2, "absent"), (None, FULL, "f00d"), (FULL, ON_2, None), (FULL, PENDING, None), (PENDING, FULL, "f00d")],
)
def test_hash_of_facts_is_written_and_removed(
    before: LinkStatus | None, after: LinkStatus, written: str | None
) -> None:
    patch = link_status_patch(a_link(before), after, NOW)
    assert patch.get("factsHash", "absent") == written
    if written:
        assert LINKS.decode(json.dumps(link() | {"status": patch}).encode()).status == after


def test_a_transition_without_a_time_is_now() -> None:
    status = link_status_patch(a_link(ON_2, transition_time=None), ON_2, NOW)
    assert status["conditions"][0]["lastTransitionTime"] == "2026-06-01T12:00:00Z"


@pytest.mark.parametrize(
    "expires",
    [None, NOW, NOW.replace(microsecond=1), datetime.max.replace(tzinfo=UTC), datetime(1, 1, 1, 0, 0, 1, tzinfo=UTC)],
)
def test_a_written_time_is_decoded_as_the_same_time(expires: datetime | None) -> None:
    body = link() | {"status": link_status_patch(a_link(expire_time=expires), ON_2, NOW)}
    decoded = LINKS.decode(json.dumps(body).encode())
    assert (decoded.status, decoded.status_expire_time) == (ON_2, expires)
    assert decoded.transition_time == NOW


def test_the_time_of_day_is_in_utc() -> None:
    assert utc_now().tzinfo == UTC


def test_a_status_has_times_in_whole_seconds() -> None:
    status = link_status_patch(a_link(), ON_2, NOW + timedelta(microseconds=123_456))
    assert status["boundTime"] == status["conditions"][0]["lastTransitionTime"] == "2026-06-01T12:00:00Z"


MOVED_FROM_2 = {
    "podIndex": 2,
    "podName": "game-2",
    "reason": "PodLost",
    "cause": "NodeNotReady",
    "time": "2026-06-01T12:00:00Z",
}


@pytest.mark.parametrize(
    ("before", "after", "previous"),
    [
        (None, ON_2, UNCHANGED),
        (ON_2, ON_2, UNCHANGED),
        (ON_2, ON_3, MOVED_FROM_2),
        (LOST_ON_2, ON_3, MOVED_FROM_2),
        (LOST_ON_2, ON_2, UNCHANGED),
        (ON_2, LOST_ON_2, UNCHANGED),
        (ON_2, PENDING, UNCHANGED),
    ],
)
def test_a_moved_link_has_its_previous_pod_and_why_that_was_lost(
    before: LinkStatus | None, after: LinkStatus, previous: object
) -> None:
    status = link_status_patch(a_link(before), after, NOW, LossCause.NODE_NOT_READY)
    assert status.get("previous", UNCHANGED) == previous


def test_a_link_that_a_client_moved_has_no_cause_of_an_earlier_loss() -> None:
    status = link_status_patch(a_link(ON_2), ON_3, NOW)
    assert status["previous"] == {**MOVED_FROM_2, "reason": "Moved", "cause": None}


@pytest.mark.parametrize(
    ("pod", "fields"),
    [
        (None, {"podIndex": None, "podName": None}),
        (0, {"podIndex": 0, "podName": None}),
        (7, {"podIndex": 7, "podName": None}),
        ("game-a", {"podIndex": None, "podName": "game-a"}),
    ],
)
def test_a_pod_is_written_to_one_of_two_fields_and_the_other_is_removed(
    pod: PodKey | None, fields: dict[str, Any]
) -> None:
    assert pod_patch(pod) == fields


ON_A = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-a'", None, "game-a")
ON_B = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-b'", None, "game-b")


@pytest.mark.parametrize(
    ("before", "after", "previous"),
    [
        (ON_A, ON_B, {"podIndex": None, "podName": "game-a"}),
        (ON_2, ON_A, {"podIndex": 2, "podName": "game-2"}),
        (ON_A, ON_2, {"podIndex": None, "podName": "game-a"}),
        (ON_A, ON_A, None),
    ],
    ids=["from name to name", "from index to name", "from name to index", "unchanged"],
)
def test_the_previous_pod_keeps_its_form_of_name(
    before: LinkStatus, after: LinkStatus, previous: dict[str, Any] | None
) -> None:
    status = link_status_patch(a_link(before), after, NOW)
    times = {"reason": "Moved", "cause": None, "time": "2026-06-01T12:00:00Z"}
    assert status.get("previous") == (previous and previous | times)
    assert (status["podIndex"], status["podName"]) == (after.pod_index, after.pod_name)


A_POD = PodStatus(
    index=1, name="game-1", service_state=ServiceState.READY, routing_state=RoutingState.READY, links=4
).model_dump(mode="json", by_alias=True, exclude_none=True)


def status_of(**fields: Any) -> StatefulRouteStatus:
    return StatefulRouteStatus.model_validate(fields)


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({}, {}, {}),
        ({"links": 3, "pods": [A_POD]}, {"links": 3, "pods": [A_POD]}, {}),
        ({"links": 3}, {"links": 4}, {"links": 4}),
        ({"links": 3}, {"links": 0}, {"links": 0}),
        ({}, {"links": 0}, {"links": 0}),
        ({"bestPodIndex": 0, "links": 3}, {"links": 3}, {"bestPodIndex": None}),
        ({"pods": [A_POD]}, {"pods": []}, {"pods": []}),
        ({"pods": []}, {"pods": [A_POD]}, {"pods": [A_POD]}),
        ({"pods": [A_POD]}, {"pods": [A_POD | {"links": 5}]}, {"pods": [A_POD | {"links": 5}]}),
        ({"routingState": "Ready"}, {"routingState": "Shutdown"}, {"routingState": "Shutdown"}),
    ],
)
def test_a_patch_of_a_routes_status_has_the_changed_fields(
    before: dict[str, Any], after: dict[str, Any], patch: dict[str, Any]
) -> None:
    assert status_patch(status_of(**before), status_of(**after)) == patch


GAME = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "game"}
CHAT = GAME | {"name": "chat"}


def omitted(count: int) -> dict[str, int]:
    """Returns the counts of pods that are not listed."""
    others = ("ready", "routable", "available", "freshLoad", "staleLoad", "links")
    return {"count": count, **dict.fromkeys(others, 0)}


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({}, {"links": 1}, {"links": 1, "operator": "me"}),
        ({"operator": "other"}, {"operator": "other", "links": 1}, {"links": 1, "operator": "me"}),
        ({"operator": "me"}, {"operator": "me", "links": 1}, {"links": 1}),
        ({"operator": "other"}, {"operator": "other"}, {}),
        ({}, {"workload": GAME}, {}),
        ({}, {"workload": GAME, "links": 1}, {"workload": GAME, "links": 1, "operator": "me"}),
        ({"workload": GAME}, {"workload": CHAT}, {"workload": CHAT, "operator": "me"}),
        ({}, {"omittedPods": omitted(9)}, {}),
        ({}, {"omittedPods": omitted(9), "links": 1}, {"omittedPods": omitted(9), "links": 1, "operator": "me"}),
        ({"omittedPods": omitted(9)}, {"omittedPods": omitted(8)}, {"omittedPods": omitted(8), "operator": "me"}),
        ({"omittedPods": omitted(9)}, {}, {"omittedPods": None, "operator": "me"}),
    ],
    ids=[
        "first write",
        "after another operator",
        "same operator",
        "nothing has changed",
        "definition without the fields",
        "first workload",
        "other workload",
        "definition without omitted pods",
        "first omitted pods",
        "other omitted pods",
        "all pods are listed again",
    ],
)
def test_writer_of_a_routes_status_is_written_with_other_changes_only(
    before: dict[str, Any], after: dict[str, Any], patch: dict[str, Any]
) -> None:
    assert status_patch(status_of(**before), status_of(**after), "me") == patch


@pytest.fixture
def informers(client: Client) -> Informers:
    return Informers(client)


@pytest.fixture
def known(informers: Informers) -> Link:
    """A link in the cache."""
    cached = LINKS.decode(json.dumps(link(version=41)).encode())
    informers.links.cache.put(cached)
    return cached


async def test_a_binding_is_conditional_on_the_version_and_updates_the_cache(
    api: FakeAPI, client: Client, informers: Informers, known: Link
) -> None:
    changes: list[tuple[int | None, int | None]] = []
    informers.links.cache.listen(lambda _, new: changes.append((new and new.resource_version, new and new.pod)))
    task = asyncio.create_task(LinkWriter(client, informers.links).bind(known, 2))
    call = await api.call()
    assert (call.method, call.path) == (
        "PATCH",
        "/apis/statefulroute.io/v1alpha1/namespaces/games/podlinks/game.alice",
    )
    identity = {"resourceVersion": "41", "managedFields": [{}]}
    assert call.json == {"metadata": identity, "spec": {"podIndex": 2, "podName": None}}
    assert changes == []
    call.respond(link(version=42, podIndex=2))
    await task
    assert changes == [(42, 2)]


HAND_OVER = HandOver(3, "2026-06-01T12:00:00Z")
OBSERVED = ObservedHandOver("uid-of-game-2", "2026-06-01T12:00:00Z")
HANDING_OVER = LinkStatus(
    LinkPhase.HANDING_OVER, LinkReason.HANDING_OVER, "to 3", 2, "game-2", "game-2.game", "f00d", OBSERVED
)


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        (None, None, {}),
        (HAND_OVER, HAND_OVER, {}),
        (HAND_OVER, None, {"handOver": None}),
        (None, HAND_OVER, {"handOver": {"podIndex": 3, "podName": None, "startTime": "2026-06-01T12:00:00Z"}}),
        (HAND_OVER, HandOver("a", "t"), {"handOver": {"podIndex": None, "podName": "a", "startTime": "t"}}),
    ],
)
def test_a_hand_over_is_written_only_if_it_changes(
    before: HandOver | None, after: HandOver | None, patch: dict[str, Any]
) -> None:
    assert hand_over_patch(a_link(hand_over=before), after) == patch


async def test_a_move_removes_the_hand_over(api: FakeAPI, client: Client, informers: Informers) -> None:
    asked = {"podIndex": 3, "startTime": "2026-06-01T12:00:00Z"}
    known = LINKS.decode(json.dumps(link(version=41, podIndex=2, handOver=asked)).encode())
    assert known.hand_over == HAND_OVER
    task = asyncio.create_task(LinkWriter(client, informers.links).bind(known, 3))
    call = await api.call()
    assert call.json["spec"] == {"podIndex": 3, "podName": None, "handOver": None}
    call.respond(link(version=42, podIndex=3))
    await task


async def test_a_hand_over_is_conditional_on_the_version(
    api: FakeAPI, client: Client, informers: Informers, known: Link
) -> None:
    task = asyncio.create_task(LinkWriter(client, informers.links).write_hand_over(known, HAND_OVER))
    call = await api.call()
    assert call.json["metadata"]["resourceVersion"] == "41"
    assert call.json["spec"] == hand_over_patch(known, HAND_OVER)
    asked = {"podIndex": 3, "startTime": "2026-06-01T12:00:00Z"}
    call.respond(link(version=42, handOver=asked) | {"metadata": metadata("game.alice", version=42, uid="its uid")})
    assert await task == "its uid"


async def test_a_hand_over_that_an_older_definition_drops_raises(
    api: FakeAPI, client: Client, informers: Informers, known: Link
) -> None:
    task = asyncio.create_task(LinkWriter(client, informers.links).write_hand_over(known, HAND_OVER))
    (await api.call()).respond(link(version=41))
    with pytest.raises(APIError, match=r"the CustomResourceDefinition of PodLinks has no spec\.handOver"):
        await task


def test_a_status_names_the_pod_that_was_asked_for_a_hand_over_until_it_ends() -> None:
    patch = link_status_patch(a_link(ON_2), HANDING_OVER, NOW)
    assert patch["handOver"] == {"podUid": "uid-of-game-2", "startTime": "2026-06-01T12:00:00Z"}
    assert LINKS.decode(json.dumps(link() | {"status": patch}).encode()).status == HANDING_OVER
    assert link_status_patch(a_link(HANDING_OVER), ON_3, NOW)["handOver"] is None
    assert "handOver" not in link_status_patch(a_link(ON_2), ON_3, NOW)
    without = msgspec.structs.replace(HANDING_OVER, hand_over=None)  # as of an earlier version
    assert "handOver" not in link_status_patch(a_link(without), ON_3, NOW)


def test_a_link_that_is_handed_over_stays_ready_and_keeps_its_times() -> None:
    status = link_status_patch(a_link(ON_2), HANDING_OVER, NOW)
    assert (status["phase"], status["podIndex"], status["host"]) == ("HandingOver", 2, "game-2.game")
    assert status["conditions"][0]["status"] == "True"
    assert status["conditions"][0]["lastTransitionTime"] == "2026-06-01T11:00:00Z"
    assert not status.keys() & {"boundTime", "previous"}


@pytest.mark.parametrize("cause", [None, LossCause.DEADLINE_OVER])
def test_a_link_that_was_handed_over_says_so(cause: LossCause | None) -> None:
    status = link_status_patch(a_link(HANDING_OVER), ON_3, NOW, cause, MoveReason.HANDED_OVER)
    assert status["previous"] == {**MOVED_FROM_2, "reason": "HandedOver", "cause": cause}
    assert (status["boundTime"], status["factsHash"]) == ("2026-06-01T12:00:00Z", None)


@pytest.mark.parametrize(
    ("has_removable", "keep", "removed"),
    [(True, False, {"managedFields": [{}]}), (False, False, {}), (True, True, {}), (False, True, {})],
)
def test_a_spec_patch_removes_only_managed_fields_that_may_go(
    has_removable: bool, keep: bool, removed: dict[str, Any]
) -> None:
    patch = spec_patch(a_link(has_removable_managed_fields=has_removable), {"podIndex": 2}, keep_managed_fields=keep)
    assert patch == {"metadata": {"resourceVersion": "41", **removed}, "spec": {"podIndex": 2}}


async def test_a_status_update_patches_only_the_status(
    api: FakeAPI, client: Client, informers: Informers, known: Link
) -> None:
    task = asyncio.create_task(LinkWriter(client, informers.links, lambda: NOW).update_status(known, ON_2))
    call = await api.call()
    assert call.path == "/apis/statefulroute.io/v1alpha1/namespaces/games/podlinks/game.alice/status"
    assert call.json == {"metadata": {"resourceVersion": "41"}, "status": link_status_patch(known, ON_2, NOW)}
    call.respond(link(version=42) | {"status": call.json["status"]})
    await task
    cached = informers.links.cache.get(known.route, known.name)
    assert cached is not None
    assert (cached.resource_version, cached.status) == (42, ON_2)


@pytest.mark.parametrize(
    "refusal", [(404, NotFoundError), (409, ConflictError), (422, APIError), (500, APIError)], ids=str
)
async def test_a_refused_write_does_not_change_the_cache(
    api: FakeAPI, client: Client, informers: Informers, known: Link, refusal: tuple[int, type[APIError]]
) -> None:
    status, error_type = refusal
    task = asyncio.create_task(LinkWriter(client, informers.links).bind(known, 2))
    (await api.call()).respond_error(status, "Refused", "no")
    with pytest.raises(error_type):
        await task
    assert informers.links.cache.get(known.route, known.name) is known


async def test_a_write_without_a_response_does_not_change_the_cache(
    api: FakeAPI, client: Client, informers: Informers, known: Link
) -> None:
    task = asyncio.create_task(LinkWriter(client, informers.links).bind(known, 2))
    (await api.call()).disconnect()
    with pytest.raises(UnreachableError):
        await task
    assert informers.links.cache.get(known.route, known.name) is known


@pytest.mark.parametrize("body", ["<html>a proxy</html>", "", "{}", b'{"metadata": "\xff"}'])
async def test_a_malformed_response_to_a_write_raises_unreachable(
    api: FakeAPI, client: Client, informers: Informers, known: Link, body: str | bytes
) -> None:
    task = asyncio.create_task(LinkWriter(client, informers.links).bind(known, 2))
    (await api.call()).respond(body)
    with pytest.raises(UnreachableError, match="podlinks"):
        await task
    assert informers.links.cache.get(known.route, known.name) is known


def a_route(**status: Any) -> Route:
    return ROUTES.decode(json.dumps(route(version=7) | {"status": status}).encode())


async def test_only_changed_fields_of_a_routes_status_are_written(
    api: FakeAPI, client: Client, informers: Informers
) -> None:
    before = a_route(links=3, bestPodIndex=1)
    informers.routes.cache.put(before)
    task = asyncio.create_task(RouteWriter(client, informers.routes).update_status(before, status_of(links=4)))
    call = await api.call()
    assert (call.method, call.path) == (
        "PATCH",
        "/apis/statefulroute.io/v1alpha1/namespaces/games/statefulroutes/game/status",
    )
    assert call.json == {"metadata": {"resourceVersion": "7"}, "status": {"links": 4, "bestPodIndex": None}}
    call.respond({"metadata": metadata("game", 8), "status": {"links": 4}})
    await task
    cached = informers.routes.cache.get("games", "game")
    assert cached is not None
    assert (cached.resource_version, cached.status) == (8, status_of(links=4))


async def test_an_unchanged_route_status_is_not_written(api: FakeAPI, client: Client, informers: Informers) -> None:
    await RouteWriter(client, informers.routes).update_status(a_route(links=3), status_of(links=3))
    assert api.has_no_calls


async def test_a_condition_that_an_older_definition_refuses_is_left_out_of_the_status(
    api: FakeAPI, client: Client, informers: Informers
) -> None:
    served, found = (
        {"type": each, "status": "True", "reason": "Fine", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for each in ("LinksServed", "WorkloadFound")
    )
    writer, before = RouteWriter(client, informers.routes), a_route()
    task = asyncio.create_task(writer.update_status(before, status_of(conditions=[served, found])))
    details = {"causes": [{"reason": "FieldValueNotSupported", "field": "status.conditions[0].type"}]}
    (await api.call()).respond(status_object(422, "Invalid", "unsupported") | {"details": details}, 422)
    call = await api.call()
    assert call.json["status"] == {"conditions": [found]}
    call.respond({"metadata": metadata("game", 8), "status": {"conditions": [found]}})
    await task
    await writer.update_status(a_route(conditions=[found]), status_of(conditions=[served, found]))
    assert api.has_no_calls


async def test_a_status_that_is_refused_for_another_reason_raises_the_error(
    api: FakeAPI, client: Client, informers: Informers
) -> None:
    task = asyncio.create_task(RouteWriter(client, informers.routes).update_status(a_route(), status_of(links=4)))
    (await api.call()).respond_error(422, "Invalid", "unsupported")
    with pytest.raises(APIError, match="unsupported"):
        await task


def a_pod(version: int, **annotations: str) -> Pod:
    return PODS.decode(json.dumps(pod("game-a", version, annotations=annotations)).encode())


async def test_annotations_are_written_to_this_pod_only_and_update_the_cache(
    api: FakeAPI, client: Client, informers: Informers
) -> None:
    known = a_pod(41)
    informers.pods.cache.put(known)
    annotations = {WEIGHTED_LOAD: "3.7", POD_DELETION_COST: None}
    task = asyncio.create_task(PodWriter(client, informers.pods).annotate(known, annotations))
    call = await api.call()
    assert (call.method, call.path) == ("PATCH", "/api/v1/namespaces/games/pods/game-a")
    assert call.json == {"metadata": {"uid": "uid-of-game-a", "annotations": annotations}}
    call.respond(pod("game-a", 42, annotations={WEIGHTED_LOAD: "3.7"}))
    await task
    cached = informers.pods.cache.get("games", "game-a")
    assert cached is not None
    assert (cached.resource_version, cached.annotations) == (42, PodAnnotations("3.7", None))


@pytest.mark.parametrize("refusal", [(404, NotFoundError), (409, ConflictError), (403, APIError)], ids=str)
async def test_a_refused_annotation_does_not_change_the_cache(
    api: FakeAPI, client: Client, informers: Informers, refusal: tuple[int, type[APIError]]
) -> None:
    known = a_pod(41)
    informers.pods.cache.put(known)
    status, error_type = refusal
    task = asyncio.create_task(PodWriter(client, informers.pods).annotate(known, {WEIGHTED_LOAD: "1"}))
    (await api.call()).respond_error(status, "Refused", "no")
    with pytest.raises(error_type):
        await task
    assert informers.pods.cache.get("games", "game-a") is known
