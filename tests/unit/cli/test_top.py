"""The screen of `top`, with a state that only the test changes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot

from statefulroute.api.route_status import OmittedPods
from statefulroute.cli.link_changes import LinkChange
from statefulroute.cli.output.screen import ScreenState, TopApp
from statefulroute.cluster.codec import ROUTES
from statefulroute.domain.route import Route
from support.example_objects import pod_status
from support.objects import condition, stateful_route

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Clock:
    """A monotonic clock that a test advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def route(*pods: dict[str, object], name: str = "game", **status: object) -> Route:
    item = stateful_route(name)
    item["metadata"] |= {"namespace": "play", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    known = {"bestPodName": "game-0", "links": 12, "routablePods": 2, "replicas": 3, "conditions": [condition()]}
    item["status"] = {**known, "workloadLoad": 2, "workloadState": "Normal", "pods": pods, **status}
    return ROUTES.convert(item)


GAME = (
    pod_status("game-0", 2, 600, index=0),
    pod_status("game-1", 10, 4800, index=1, routingState="DenyNewCall"),
    pod_status("game-2", 0, index=2, serviceState="NotReady"),
)


def change(subject: str, before: str, after: str, reason: str, **more: str) -> LinkChange:
    return LinkChange(
        namespace="play", route="game", subject=subject, before=before, after=after, reason=reason, **more
    )


CHANGES = (
    change("alice", "-", "game-0", "Bound"),
    change("a-user-with-a-long-name@example.com", "game-2", "game-1", "PodLost", cause="NodeNotReady"),
    change("pod/game-1", "Ready", "DenyNewCall", "RoutingState"),
    change("evil\u202etxt", "game-0", "-", "Expired"),
)


@pytest.fixture(autouse=True)
def _no_samples_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine, the timer would add a sample before the screen is drawn."""
    monkeypatch.setattr("statefulroute.cli.output.screen._SAMPLE_SECONDS", 3600)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> ScreenState:
    return ScreenState("play", {("play", "game"): route(*GAME)}, clock=lambda: NOON, monotonic=clock)


def screen_of(app: TopApp) -> list[str]:
    """Returns the lines of the screen."""
    strips = app.screen._compositor.render_strips()  # noqa: SLF001 - textual has no other way to the text
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


async def drawn(app: TopApp, pilot: Pilot[None]) -> list[str]:
    """Draws the present state and returns the lines of the screen."""
    app.draw()
    await pilot.pause()
    return screen_of(app)


@pytest.mark.parametrize("columns", [40, 80, 160])
async def test_screen_fits_its_width(
    state: ScreenState, clock: Clock, columns: int, snapshot: SnapshotAssertion
) -> None:
    for load in (1000, 2500, 4900):
        state.routes = {("play", "game"): route(pod_status("game-0", 2, load, index=0), *GAME[1:], unservedLinks=3)}
        state.sample()
    clock.now = 10.0
    for each in CHANGES:
        state.record(each)
    app = TopApp(state)
    async with app.run_test(size=(columns, 24)) as pilot:
        lines = await drawn(app, pilot)
    assert "\n".join(lines) == snapshot
    assert max(map(len, lines)) <= columns


async def test_screen_of_several_routes_names_them_and_shows_those_with_problems_first(
    state: ScreenState, snapshot: SnapshotAssertion
) -> None:
    broken = condition(status="False", reason="NoRoutablePod")
    names = [f"lobby-{number:02}" for number in range(20)]
    state.routes = {
        ("play", "game"): route(*GAME),
        **{("play", name): route(GAME[0], name=name, links=1) for name in names},
        ("play", "zoo"): route(name="zoo", conditions=[broken], links=0, routablePods=0),
    }
    app = TopApp(state)
    async with app.run_test(size=(80, 24)) as pilot:
        assert "\n".join(await drawn(app, pilot)) == snapshot


@pytest.mark.parametrize("columns", [40, 80])
async def test_screen_shows_closing_pods(state: ScreenState, columns: int) -> None:
    closing = {"reason": "ScaleDown", "since": "2026-01-01T11:34:00Z", "deadline": "2026-01-01T12:34:00Z"}
    drained = pod_status("game-2", 12, 900, index=2, routingState="DenyNewCall", closing=closing)
    state.routes = {("play", "game"): route(*GAME[:2], drained)}
    app = TopApp(state)
    async with app.run_test(size=(columns, 24)) as pilot:
        lines = await drawn(app, pilot)
        assert max(map(len, lines)) <= columns
        first = next(number for number, line in enumerate(lines) if line.startswith("game  Ready"))
        assert lines[first + 1] == f"  {'closing: ' * (columns > 40)}1 ScaleDown (12 links, 34m left)"
        assert [line.split()[0] for line in lines if "ScaleDown 34m" in line] == ["game-2"]
        await pilot.resize_terminal(columns, 7)
        assert any(line.startswith("game  Ready") for line in await drawn(app, pilot))


async def test_screen_shows_pods_that_hand_their_users_over(state: ScreenState) -> None:
    drained = pod_status("game-2", 12, 900, index=2, routingState="DenyNewCall", handingOver=True)
    state.routes = {("play", "game"): route(*GAME[:2], drained)}
    app = TopApp(state)
    async with app.run_test(size=(80, 24)) as pilot:
        assert [line.split()[0] for line in await drawn(app, pilot) if "HandingOver" in line] == ["game-2"]


def test_changes_that_keep_the_pod_are_neither_bindings_nor_moves(state: ScreenState, clock: Clock) -> None:
    state.record(change("alice", "game-0", "game-0", "HandingOver", hand_over_to="game-1"))
    state.record(change("bob", "-", "-", "NoAvailablePod"))
    clock.now = 10.0
    assert header_of(state)[5:] == ["0.0 bound/s", "0.0 moved/s", "0.0 ended/s"]


async def test_screen_shows_changed_numbers_pods_and_warnings(state: ScreenState) -> None:
    app = TopApp(state)
    async with app.run_test(size=(80, 24)) as pilot:
        assert any(line.startswith("game-0") and " 0.6 " in line for line in await drawn(app, pilot))
        state.routes = {("play", "game"): route(pod_status("game-0", 3, 5000, index=0))}
        state.warning = "watching failed: trying again"
        lines = await drawn(app, pilot)
        assert [line.split()[3] for line in lines if line.startswith("game-")] == ["5"]
        assert any("watching failed: trying again" in line for line in lines)
        state.record(CHANGES[0])
        assert not any("watching failed" in line for line in await drawn(app, pilot))
        state.routes = {}
        assert not [line for line in await drawn(app, pilot) if line.startswith("game-")]


async def test_screen_follows_a_resize(state: ScreenState) -> None:
    app = TopApp(state)
    async with app.run_test(size=(80, 24)) as pilot:
        assert any("ROUTING" in line for line in await drawn(app, pilot))
        await pilot.resize_terminal(40, 24)
        lines = await drawn(app, pilot)
        assert not any("ROUTING" in line for line in lines)
        assert max(map(len, lines)) <= 40


async def test_links_of_other_routes_to_a_pod_are_shown(state: ScreenState) -> None:
    state.routes = {("play", "game"): route(pod_status("game-0", 2, 600, index=0, totalLinks=7))}
    app = TopApp(state)
    async with app.run_test(size=(80, 24)) as pilot:
        assert any("2 (7 in all)" in line for line in await drawn(app, pilot))


async def test_q_quits(state: ScreenState) -> None:
    app = TopApp(state)
    async with app.run_test() as pilot:
        await pilot.press("q")
    assert app.return_code == 0


def header_of(state: ScreenState) -> Sequence[str]:
    return [segment.plain for segment in state.header()]


def test_header_has_the_totals_and_the_rates_of_the_last_minute(state: ScreenState, clock: Clock) -> None:
    assert header_of(state)[:5] == ["play", "12:00:00", "1 route", "3 pods", "12 links"]
    clock.now = 10.0
    for each in (*CHANGES, *CHANGES[:1] * 9):
        state.record(each)
    assert header_of(state)[5:] == ["1.0 bound/s", "0.1 moved/s", "0.1 ended/s"]
    clock.now = 69.0
    assert header_of(state)[5:] == ["0.2 bound/s", "0.0 moved/s", "0.0 ended/s"]
    clock.now = 71.0
    assert header_of(state)[5:] == ["0.0 bound/s", "0.0 moved/s", "0.0 ended/s"]


def test_header_counts_pods_that_are_not_listed_and_links_that_are_not_served(state: ScreenState) -> None:
    game = route(*GAME, unservedLinks=1)
    omitted = OmittedPods(count=597)
    routes = {("play", "game"): replace(game, status=game.status.model_copy(update={"omitted_pods": omitted}))}
    state.routes = routes
    assert header_of(state)[2:7] == ["1 route", "600 pods", "597 pods not listed", "12 links", "1 not served"]
