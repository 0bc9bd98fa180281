"""The metrics of links: how long bindings take, and how long the counts of a route are kept."""

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

#: The first reading of the wall clock, in seconds since 1970, and of the monotonic clock.
WALL, MONOTONIC = 1_767_268_800.0, 5_000.0

BOUND = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound", 0, "game-0", "game-0.game.play.svc")
PENDING = LinkStatus(LinkPhase.PENDING, LinkReason.NO_AVAILABLE_POD, "none takes new users")
LOST = LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "lost", 0)


class MetricsEnvironment:
    """Metrics with clocks that a test moves, in a process that leads unless a test changes it."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.is_leader = True
        self.metrics = LinkMetrics(lambda: self.is_leader, lambda: WALL + self.passed, lambda: MONOTONIC + self.passed)
        self._current: Link | None = None

    def put(self, status: LinkStatus | None, created: float = WALL) -> None:
        """Stores a version of the link."""
        new = link(status=status, creation_timestamp=int(created))
        self.metrics.link_changed(self._current, new)
        self._current = new

    def delete(self) -> None:
        """Deletes the link."""
        self.metrics.link_changed(self._current, None)
        self._current = None

    def samples(self, name: str) -> dict[tuple[str, ...], float]:
        """Returns the samples of a metric by the values of their labels, without those of the route."""
        return {
            tuple(value for label, value in sample.labels.items() if label not in {"namespace", "route"}): sample.value
            for family in self.metrics.collect()
            for sample in family.samples
            if sample.name == f"statefulroute_{name}"
        }

    @property
    def timed(self) -> tuple[float, float]:
        """The number of timed bindings and their total duration."""
        return self.samples("bind_duration_seconds_count")[()], self.samples("bind_duration_seconds_sum")[()]


@pytest.fixture
def environment() -> MetricsEnvironment:
    return MetricsEnvironment()


def test_binding_of_new_link_is_timed_from_when_it_is_first_seen_until_it_is_bound(
    environment: MetricsEnvironment,
) -> None:
    environment.put(None, created=WALL - 1)  # a creation time in whole seconds shows only that the link is new
    environment.passed = 0.25
    environment.put(BOUND)
    assert environment.timed == (1, 0.25)


def test_binding_time_includes_the_wait_for_a_pod(environment: MetricsEnvironment) -> None:
    environment.put(None)
    environment.put(PENDING)
    environment.passed = 40
    environment.put(BOUND)
    assert environment.timed == (1, 40)


def test_binding_of_older_link_is_timed_from_its_creation(environment: MetricsEnvironment) -> None:
    environment.put(PENDING, created=WALL - 100)
    environment.passed = 1
    environment.put(BOUND)
    assert environment.timed == (1, 101)


def test_only_first_binding_is_timed(environment: MetricsEnvironment) -> None:
    environment.put(None)
    for status in (BOUND, LOST, BOUND):
        environment.put(status)
        environment.passed += 1
    assert environment.timed == (1, 0)


def test_link_that_was_bound_before_it_was_seen_is_not_timed(environment: MetricsEnvironment) -> None:
    environment.put(BOUND)
    environment.put(LOST)
    environment.put(BOUND)
    assert environment.timed == (0, 0)


async def test_link_that_is_deleted_unbound_is_not_timed_and_its_successor_starts_at_zero(
    environment: MetricsEnvironment,
) -> None:
    environment.put(None)
    environment.passed = 10
    environment.delete()
    environment.put(None, created=WALL + 10)
    environment.passed = 12
    environment.put(BOUND)
    assert environment.timed == (1, 2)


def test_standby_times_no_binding_and_exposes_no_phase(environment: MetricsEnvironment) -> None:
    environment.is_leader = False
    environment.put(None)
    environment.put(BOUND)
    assert environment.timed == (0, 0)
    assert environment.samples("links") == {}
    environment.is_leader = True
    phases = dict.fromkeys(["Pending", "HandingOver", "Lost", "Rejected"], 0) | {"Bound": 1}
    assert environment.samples("links") == {(phase,): number for phase, number in phases.items()}


async def test_counts_of_a_route_stay_while_the_route_or_one_of_its_links_exists(
    environment: MetricsEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links_module, "_KEEP_SECONDS", 0.0)
    environment.metrics.route_changed(None, route())
    environment.put(BOUND)
    environment.metrics.route_changed(route(), None)
    await asyncio.sleep(0.01)
    assert environment.samples("bindings_total") == {("chosen",): 0, ("named",): 0}
    environment.delete()
    assert environment.samples("bindings_total") == {("chosen",): 0, ("named",): 0}
    await asyncio.sleep(0.01)
    assert environment.samples("bindings_total") == {}


async def test_route_that_is_created_again_in_time_keeps_its_counts(
    environment: MetricsEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links_module, "_KEEP_SECONDS", 0.0)
    environment.metrics.route_changed(None, route())
    environment.metrics.route_changed(route(), None)
    environment.metrics.route_changed(None, route())
    await asyncio.sleep(0.01)
    assert environment.samples("bindings_total") == {("chosen",): 0, ("named",): 0}


def test_routes_that_only_links_name_are_counted_together(environment: MetricsEnvironment) -> None:
    unknown = [
        msgspec.structs.replace(link(), route=RouteKey("play", f"made-up-{number}"), name=f"made-up-{number}.alice")
        for number in range(100)
    ]
    environment.metrics.route_changed(None, route())
    environment.put(BOUND)
    for other in unknown:
        environment.metrics.link_changed(None, other)
    environment.metrics.record(unknown[0].route, link_removed_event(unknown[0], RemoveReason.EXPIRED))
    samples = {
        (sample.name.removeprefix("statefulroute_"), *sample.labels.values()): sample.value
        for family in environment.metrics.collect()
        for sample in family.samples
        if "route" in sample.labels
    }
    assert {labels[2] for labels in samples} == {"", "game"}
    assert samples["links", "play", "", "Pending"] == 100
    assert samples["links", "play", "game", "Bound"] == 1
    assert samples["removals_total", "play", "", "Expired"] == 1
    environment.metrics.route_changed(None, dataclasses.replace(route(), name="made-up-0"))  # it is created later
    assert "made-up-0" in {
        sample.labels.get("route") for family in environment.metrics.collect() for sample in family.samples
    }
