"""What the pages show of routes, pods and links."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from statefulroute.cli.link_changes import LinkState
from statefulroute.cluster.clock import utc_now
from statefulroute.console.slots import SlotsView, UserSlot
from statefulroute.console.views import (
    AbsentRoute,
    LinkPage,
    Overview,
    RoutePage,
    SuspendedLoss,
    found_links,
    link_page,
    overview,
    route_page,
)
from statefulroute.console.watcher import Watcher
from statefulroute.domain.keys import RouteKey, link_name, slot_link_name
from statefulroute.domain.slots.hashing import slot_of
from support.console import link_state, route_record, synced_watcher

GAME = RouteKey("play", "game")


def not_ready(reason: str = "NoRoutablePod") -> dict[str, Any]:
    """The status of a route that is not Ready."""
    condition = {"type": "Ready", "status": "False", "reason": reason, "message": "no pod serves users"}
    return {"observedGeneration": 1, "conditions": [condition]}


def show(watcher: Watcher, search: str = "", offset: int = 0, limit: int = 50) -> Overview:
    return overview(watcher, scope="all", search=search, offset=offset, limit=limit, now=utc_now())


def show_route(watcher: Watcher) -> RoutePage:
    page = route_page(watcher, GAME, scope="all", now=utc_now())
    assert isinstance(page, RoutePage)
    return page


def show_links(watcher: Watcher, *, search: str = "", after: str = "", limit: int = 9) -> LinkPage:
    return link_page(watcher, GAME, pod=None, search=search, after=after, limit=limit, now=utc_now())


def slot_link(slot: int, pod: int | None = 0, *, version: int = 1) -> LinkState:
    return link_state(f"slot/{slot}", pod, version=version, name=slot_link_name("game", slot))


def test_routes_with_problems_come_first() -> None:
    watcher = synced_watcher()
    for record in (
        route_record("a"),
        route_record("b", status=not_ready("Shutdown")),
        route_record("c", status=not_ready()),
    ):
        watcher.route_cache.put(record)
    page = show(watcher)
    assert [each.card.name for each in page.routes] == ["c", "b", "a"]
    assert [[problem.level for problem in each.problems] for each in page.routes] == [["problem"], ["notice"], []]
    assert (page.total, page.ready, page.with_problems) == (3, 1, 1)
    assert "make" in page.routes[0].problems[0].fix or page.routes[0].problems[0].fix


def test_overview_is_searched_and_paged() -> None:
    watcher = synced_watcher()
    for number in range(10_000):
        watcher.route_cache.put(route_record(f"route-{number:05}"))
    page = show(watcher, search="ROUTE-0012", offset=2, limit=3)
    assert [each.card.name for each in page.routes] == ["route-00122", "route-00123", "route-00124"]
    assert (page.total, page.matching) == (10_000, 10)


def test_links_that_are_not_bound_are_problems_of_their_route() -> None:
    watcher = synced_watcher()
    watcher.route_cache.put(route_record())
    watcher.route_cache.put(route_record("a"))
    for uid in ("alice", "bob"):
        watcher.link_cache.put(link_state(uid, None, phase="Pending", reason="AtCapacity"))
    watcher.link_cache.put(link_state("carol", phase="HandingOver", reason="HandingOver"))
    first = show(watcher).routes[0]
    assert (first.card.name, first.links) == ("game", 3)
    assert [each.message for each in first.problems] == ["2 links are Pending (AtCapacity)"]


def test_links_without_a_route_are_a_problem() -> None:
    watcher = synced_watcher()
    watcher.link_cache.put(link_state("alice", route="gone"))
    (problem,) = show(watcher).problems
    assert problem.message == "1 link names a route that does not exist, for example play/gone"


def test_an_operator_that_does_not_observe_a_route_is_a_problem() -> None:
    watcher = synced_watcher()
    watcher.route_cache.put(route_record(status={}))
    assert show(watcher).routes[0].problems == []
    late = overview(watcher, scope="", search="", offset=0, limit=9, now=utc_now() + timedelta(seconds=6))
    assert [each.check for each in late.routes[0].problems] == ["operator"]


def test_page_of_a_route_has_its_pods_with_their_states() -> None:
    deadline = "2026-01-01T13:00:00Z"
    closing = {"reason": "ScaleDown", "since": "2026-01-01T12:00:00Z", "deadline": deadline}
    pods = [
        {
            "index": 0,
            "name": "game-0",
            "serviceState": "Ready",
            "routingState": "Ready",
            "weightedLoadMilli": 1500,
            "links": 1,
            "totalLinks": 3,
        },
        {
            "index": 1,
            "name": "game-1",
            "serviceState": "Ready",
            "routingState": "DenyNewCall",
            "closing": closing,
            "handingOver": True,
        },
    ]
    status = {
        "observedGeneration": 1,
        "pods": pods,
        "lostPods": [{"name": "game-7", "cause": "NodeNotReady", "links": 1}],
    }
    watcher = synced_watcher()
    watcher.route_cache.put(route_record(status=status, placement={"maxLinksPerPod": 9}))
    for uid, pod in (("alice", 0), ("bob", 1), ("carol", 7), ("dave", None)):
        watcher.link_cache.put(link_state(uid, pod))
    page = show_route(watcher)
    first, second, lost = page.pods
    assert (first.links, first.total_links, first.load, first.closing) == (1, 3, 1.5, None)
    assert (second.closing and second.closing.reason, second.is_handing_over) == ("ScaleDown", True)
    assert (lost.name, lost.service_state, lost.lost, lost.links) == ("game-7", "Unlisted", "NodeNotReady", 1)
    assert (page.links, page.waiting_links, page.capacity, page.is_limited) == (4, 1, 9, True)
    assert msgspec.json.encode(page)


def test_nothing_is_kept_of_a_route_that_is_deleted_before_its_links() -> None:
    watcher = synced_watcher()
    watcher.route_cache.put(route_record())
    watcher.link_cache.put(link_state("alice", name="game.alice"))
    watcher.route_cache.delete("play", "game", 2)
    assert (watcher.version_of(GAME) > 0, watcher.changes.total("bound", GAME)) == (True, 1)
    watcher.link_cache.delete("play", "game.alice", 3)
    assert (watcher.version_of(GAME), watcher.changes.total("bound", GAME)) == (0, 0)


def test_capacity_without_a_limit_is_that_of_the_fullest_pod() -> None:
    watcher = synced_watcher()
    watcher.route_cache.put(route_record(workloadRef={"kind": "Deployment", "name": "web"}))
    for uid in "abc":
        watcher.link_cache.put(link_state(uid, "web-x" if uid == "a" else "web-y"))
    page = show_route(watcher)
    assert ([each.name for each in page.pods], page.capacity, page.is_limited) == (["web-x", "web-y"], 2, False)


@pytest.mark.parametrize("is_synced", [True, False])
def test_page_of_a_missing_route_says_whether_all_routes_are_known(is_synced: bool) -> None:
    watcher = synced_watcher()
    if not is_synced:
        watcher.reflectors[0].synced.clear()
    page = route_page(watcher, GAME, scope="all", now=utc_now())
    assert isinstance(page, AbsentRoute)
    assert page.connection.is_synced is is_synced


def test_last_page_of_links_has_no_next_one() -> None:
    watcher = synced_watcher()
    for uid in "abc":
        watcher.link_cache.put(link_state(uid))
    first = show_links(watcher, limit=2)
    last = show_links(watcher, after=first.next, limit=2)
    assert ([each.uid for each in first.links], [each.uid for each in last.links], last.next) == (["a", "b"], ["c"], "")


def test_a_slot_and_a_user_of_the_same_name_follow_each_other_over_pages() -> None:
    watcher = synced_watcher()
    for uid in ("alice", "slot/3", "zoe"):
        watcher.link_cache.put(link_state(uid, name=link_name("game", uid)))
    watcher.link_cache.put(slot_link(3))
    seen, after = [], ""
    for _ in range(4):
        page = show_links(watcher, after=after, limit=1)
        seen += [(each.uid, each.is_user) for each in page.links]
        after = page.next
    assert after == ""
    assert sorted(seen) == [("alice", True), ("slot/3", False), ("slot/3", True), ("zoe", True)]


def test_a_user_without_a_link_is_found_by_the_slot() -> None:
    watcher = synced_watcher()
    watcher.route_cache.put(route_record(slots=4))
    watcher.route_cache.put(route_record("chat"))
    here, elsewhere = slot_of("alice", 4), slot_of("bob", 4)
    assert here != elsewhere
    watcher.link_cache.put(slot_link(here, 2))
    found = found_links(watcher, "alice", 9, utc_now())
    assert ([*found.links], found.slots) == ([], [UserSlot("play", "game", here, "#2")])
    assert show_links(watcher, search="alice").slot == UserSlot("play", "game", here, "#2")
    assert show_links(watcher, search="bob").slot == UserSlot("play", "game", elsewhere, "-")
    assert show_links(watcher, search="").slot is None
    watcher.link_cache.put(link_state("alice", name="game.alice"))
    assert (found_links(watcher, "alice", 9, utc_now()).slots, show_links(watcher, search="alice").slot) == ([], None)
    gone = utc_now() - timedelta(seconds=1)
    watcher.link_cache.put(link_state("alice", version=2, name="game.alice", expire_time=gone))
    assert found_links(watcher, "alice", 9, utc_now()).slots == [UserSlot("play", "game", here, "#2")]


def test_slots_are_counted_by_pod_and_explained() -> None:
    conditions = [
        {"type": "SlotsBound", "status": "False", "reason": "SlotsUnbound", "message": "2 of 4 slots are bound"},
        {"type": "SlotsBalanced", "status": "False", "reason": "SlotsUneven", "message": "from 1 to 3"},
    ]
    watcher = synced_watcher()
    watcher.route_cache.put(route_record(slots=4, status={"observedGeneration": 1, "conditions": conditions}))
    for slot, pod in ((0, 0), (1, 0), (2, None)):
        watcher.link_cache.put(slot_link(slot, pod))
    watcher.link_cache.put(link_state("alice", 0))
    page = show_route(watcher)
    assert page.slots == SlotsView(4, 2, ["2 of 4 slots are bound"])
    assert [(pod.links, pod.slots) for pod in page.pods] == [(3, 2)]
    watcher.link_cache.put(slot_link(1, 1, version=2))
    assert [(pod.links, pod.slots) for pod in show_route(watcher).pods] == [(2, 1), (1, 1)]


def test_the_suspended_loss_is_the_one_that_is_confirmed() -> None:
    suspended = {
        "type": "LossSuspended",
        "status": "True",
        "reason": "PodsLost",
        "message": "3 of 5 pods look lost",
        "lastTransitionTime": "2026-01-01T12:00:00Z",
    }
    watcher = synced_watcher()
    watcher.route_cache.put(route_record(status={"conditions": [suspended]}))
    assert show_route(watcher).loss == SuspendedLoss("3 of 5 pods look lost", "2026-01-01T12:00:00Z")
    watcher.route_cache.put(route_record(version=2, status={"conditions": [suspended | {"status": "False"}]}))
    assert show_route(watcher).loss is None
