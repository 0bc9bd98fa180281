"""What is counted of links: how long a binding took, by whose clock; and whose counts are kept for how long."""

import asyncio
import dataclasses

import msgspec
import pytest

from statefulroute.api.vocabulary import LinkPhase, LinkReason, RemoveReason
from statefulroute.controllers.monitoring import links as links_module
from statefulroute.controllers.monitoring.links import LinkMetrics
from statefulroute.domain.events import link_removed_event
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link, LinkStatus
from unit.domain.builders import link, route

#: Seconds since 1970, and those of a clock that runs on its own.
WALL, MONOTONIC = 1_767_268_800.0, 5_000.0

BOUND = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound", 0, "game-0", "game-0.game.play.svc")
PENDING = LinkStatus(LinkPhase.PENDING, LinkReason.NO_AVAILABLE_POD, "none takes new users")
LOST = LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "lost", 0)


class World:
    """Metrics whose clocks stand until they are moved, and whose process leads until it does not."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.leads = True
        self.metrics = LinkMetrics(lambda: self.leads, lambda: WALL + self.passed, lambda: MONOTONIC + self.passed)
        self._known: Link | None = None

    def sees(self, said: LinkStatus | None, created: float = WALL) -> None:
        """The link is so now."""
        new = link(status=said, creation_timestamp=int(created))
        self.metrics.link_changed(self._known, new)
        self._known = new

    def loses_sight(self) -> None:
        """The link is deleted."""
        self.metrics.link_changed(self._known, None)
        self._known = None

    def told(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples of a name, by the values of their labels but for the route's."""
        return {
            tuple(value for label, value in sample.labels.items() if label not in {"namespace", "route"}): sample.value
            for family in self.metrics.collect()
            for sample in family.samples
            if sample.name == f"statefulroute_{name}"
        }

    @property
    def timed(self) -> tuple[float, float]:
        """How many bindings were timed, and how long they took together."""
        return self.told("bind_duration_seconds_count")[()], self.told("bind_duration_seconds_sum")[()]


@pytest.fixture
def world() -> World:
    return World()


def test_a_binding_takes_from_the_first_sight_of_a_new_link_to_its_first_bound(world: World) -> None:
    world.sees(None, created=WALL - 1)  # whole seconds say no more than that it is new
    world.passed = 0.25
    world.sees(BOUND)
    assert world.timed == (1, 0.25)


def test_a_wait_for_a_pod_counts(world: World) -> None:
    world.sees(None)
    world.sees(PENDING)
    world.passed = 40
    world.sees(BOUND)
    assert world.timed == (1, 40)


def test_a_link_that_was_there_before_this_process_is_timed_from_its_creation(world: World) -> None:
    world.sees(PENDING, created=WALL - 100)
    world.passed = 1
    world.sees(BOUND)
    assert world.timed == (1, 101)


def test_only_the_first_binding_is_timed(world: World) -> None:
    world.sees(None)
    for said in (BOUND, LOST, BOUND):
        world.sees(said)
        world.passed += 1
    assert world.timed == (1, 0)


def test_a_link_that_was_bound_before_it_was_seen_is_not_timed(world: World) -> None:
    world.sees(BOUND)
    world.sees(LOST)
    world.sees(BOUND)
    assert world.timed == (0, 0)


async def test_a_link_that_is_deleted_unbound_is_not_timed_nor_is_its_time_that_of_the_next(world: World) -> None:
    world.sees(None)
    world.passed = 10
    world.loses_sight()
    world.sees(None, created=WALL + 10)
    world.passed = 12
    world.sees(BOUND)
    assert world.timed == (1, 2)


def test_a_standby_times_nothing_and_tells_no_phase(world: World) -> None:
    world.leads = False
    world.sees(None)
    world.sees(BOUND)
    assert world.timed == (0, 0)
    assert world.told("links") == {}
    world.leads = True
    assert world.told("links") == {("Pending",): 0, ("Bound",): 1, ("Lost",): 0, ("Rejected",): 0}


async def test_the_counts_of_a_route_stay_while_it_or_a_link_of_it_is_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links_module, "_KEEP_SECONDS", 0.0)
    world.metrics.route_changed(None, route())
    world.sees(BOUND)
    world.metrics.route_changed(route(), None)
    await asyncio.sleep(0.01)
    assert world.told("bindings_total") == {("chosen",): 0, ("named",): 0}
    world.loses_sight()
    assert world.told("bindings_total") == {("chosen",): 0, ("named",): 0}
    await asyncio.sleep(0.01)
    assert world.told("bindings_total") == {}


async def test_a_route_that_is_made_anew_meanwhile_keeps_its_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links_module, "_KEEP_SECONDS", 0.0)
    world.metrics.route_changed(None, route())
    world.metrics.route_changed(route(), None)
    world.metrics.route_changed(None, route())
    await asyncio.sleep(0.01)
    assert world.told("bindings_total") == {("chosen",): 0, ("named",): 0}


def test_routes_that_links_only_name_are_told_of_together(world: World) -> None:
    strangers = [
        msgspec.structs.replace(link(), route=RouteKey("play", f"made-up-{number}"), name=f"made-up-{number}.alice")
        for number in range(100)
    ]
    world.metrics.route_changed(None, route())
    world.sees(BOUND)
    for each in strangers:
        world.metrics.link_changed(None, each)
    world.metrics.record(strangers[0].route, link_removed_event(strangers[0], RemoveReason.EXPIRED))
    told = {
        (sample.name.removeprefix("statefulroute_"), *sample.labels.values()): sample.value
        for family in world.metrics.collect()
        for sample in family.samples
        if "route" in sample.labels
    }
    assert {labels[2] for labels in told} == {"", "game"}
    assert told["links", "play", "", "Pending"] == 100
    assert told["links", "play", "game", "Bound"] == 1
    assert told["removals_total", "play", "", "Expired"] == 1
    world.metrics.route_changed(None, dataclasses.replace(route(), name="made-up-0"))  # it comes later
    assert "made-up-0" in {
        sample.labels.get("route") for family in world.metrics.collect() for sample in family.samples
    }
