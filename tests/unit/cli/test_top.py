"""The screen of `top`, with a state that only the test changes."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from textual.widgets import DataTable, Static

from statefulroute.api.statefulroute import OmittedPods
from statefulroute.cli.link_changes import LinkChange
from statefulroute.cli.output.screen import ScreenState, TopApp
from statefulroute.cluster.codec import ROUTES
from statefulroute.domain.route import Route
from support.example_objects import pod_status
from support.objects import stateful_route

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def route(*pods: dict[str, object]) -> Route:
    item = stateful_route()
    item["metadata"] |= {"namespace": "play", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    item["status"] = {"bestPodName": "game-0", "links": 12, "pods": pods}
    return ROUTES.convert(item)


GAME = (pod_status("game-0", 2, 600, index=0), pod_status("game-1", 10, 4800, index=1, routingState="DenyNewCall"))


@pytest.fixture
def state() -> ScreenState:
    return ScreenState("play", {("play", "game"): route(*GAME)})


def cells(app: TopApp) -> list[list[str]]:
    """Returns the texts of the table, without spaces at their ends."""
    table = app.query_one("#pods", DataTable)
    return [[cell.plain.strip() for cell in table.get_row_at(index)] for index in range(table.row_count)]


@pytest.mark.parametrize(
    ("columns", "loads", "links"),
    [
        (80, ["0.6 █▍", "4.8 ██████████▌"], ["2 ██▎", "10 ███████████"]),
        (60, ["0.6", "4.8"], ["2", "10"]),
    ],
)
async def test_pods_are_rows_with_bars_if_they_fit(
    state: ScreenState, columns: int, loads: list[str], links: list[str]
) -> None:
    app = TopApp(state)
    async with app.run_test(size=(columns, 24)):
        assert cells(app) == [
            ["game", "game-0", "Ready", "Ready", loads[0], links[0]],
            ["game", "game-1", "Ready", "DenyNewCall", loads[1], links[1]],
        ]
        assert str(app.query_one("#summary", Static).render()) == "play: 1 route, 2 pods, 12 links"


async def test_screen_shows_changed_numbers_pods_and_changes(state: ScreenState) -> None:
    app = TopApp(state)
    async with app.run_test(size=(60, 24)) as pilot:
        state.routes = {("play", "game"): route(pod_status("game-0", 3, 5000, index=0), GAME[1])}
        moved = LinkChange(
            namespace="play", route="game", subject="alice", before="game-1", after="game-0", reason="PodLost"
        )
        state.changes.append((NOON, moved))
        state.warning = "watching failed: trying again"
        app.draw()
        await pilot.pause()
        assert cells(app)[0][4:] == ["5", "3"]
        changes = str(app.query_one("#changes", Static).render())
        assert changes == "12:00:00  game  alice  game-1 -> game-0  PodLost"
        assert "trying again" in str(app.query_one("#summary", Static).render())
        state.routes = {}
        app.draw()
        assert cells(app) == []


async def test_links_of_other_routes_to_a_pod_are_shown(state: ScreenState) -> None:
    state.routes = {("play", "game"): route(pod_status("game-0", 2, 600, index=0, totalLinks=7))}
    app = TopApp(state)
    async with app.run_test(size=(60, 24)):
        assert cells(app)[0][5] == "2 (7 in all)"


async def test_q_quits(state: ScreenState) -> None:
    app = TopApp(state)
    async with app.run_test() as pilot:
        await pilot.press("q")
    assert app.return_code == 0


async def test_summary_counts_pods_that_are_not_listed(state: ScreenState) -> None:
    game = route(*GAME)
    omitted = OmittedPods(count=598)
    routes = {("play", "game"): replace(game, status=game.status.model_copy(update={"omitted_pods": omitted}))}
    assert replace(state, routes=routes).summary() == "play: 1 route, 600 pods, 12 links (598 pods are not listed)"
