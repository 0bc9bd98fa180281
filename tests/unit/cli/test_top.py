"""The screen of `top`, on a model that does not change unless the test changes it."""

from datetime import UTC, datetime

import pytest
from textual.widgets import DataTable, Static

from harness.objects import stateful_route
from harness.showcase import pod_status
from statefulroute.cli.people.happenings import Happening
from statefulroute.cli.people.top import Scene, Top
from statefulroute.cluster.wire import ROUTES
from statefulroute.domain.route import Route

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def route(*pods: dict[str, object]) -> Route:
    made = stateful_route()
    made["metadata"] |= {"namespace": "play", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    made["status"] = {"bestPodName": "game-0", "links": 12, "pods": pods}
    return ROUTES.convert(made)


GAME = (pod_status("game-0", 2, 600, index=0), pod_status("game-1", 10, 4800, index=1, routingState="DenyNewCall"))


@pytest.fixture
def scene() -> Scene:
    return Scene("play", {("play", "game"): route(*GAME)})


def cells(app: Top) -> list[list[str]]:
    """The texts of the table, without spaces at their ends."""
    table = app.query_one("#pods", DataTable)
    return [[cell.plain.strip() for cell in table.get_row_at(index)] for index in range(table.row_count)]


@pytest.mark.parametrize(
    ("columns", "loads", "links"),
    [
        (80, ["0.6 █▍", "4.8 ██████████▌"], ["2 ██▎", "10 ███████████"]),
        (60, ["0.6", "4.8"], ["2", "10"]),
    ],
)
async def test_pods_are_rows_with_bars_that_have_room(
    scene: Scene, columns: int, loads: list[str], links: list[str]
) -> None:
    app = Top(scene)
    async with app.run_test(size=(columns, 24)):
        assert cells(app) == [
            ["game", "game-0", "Ready", "Ready", loads[0], links[0]],
            ["game", "game-1", "Ready", "DenyNewCall", loads[1], links[1]],
        ]
        assert str(app.query_one("#summary", Static).render()) == "play: 1 route, 2 pods, 12 links"


async def test_figures_pods_and_moves_change_while_somebody_looks(scene: Scene) -> None:
    app = Top(scene)
    async with app.run_test(size=(60, 24)) as pilot:
        scene.routes = {("play", "game"): route(pod_status("game-0", 3, 5000, index=0), GAME[1])}
        moved = Happening(
            namespace="play", route="game", subject="alice", before="game-1", after="game-0", reason="PodLost"
        )
        scene.happenings.append((NOON, moved))
        scene.complaint = "watching failed: trying again"
        app.draw()
        await pilot.pause()
        assert cells(app)[0][4:] == ["5", "3"]
        happenings = str(app.query_one("#happenings", Static).render())
        assert happenings == "12:00:00  game  alice  game-1 -> game-0  PodLost"
        assert "trying again" in str(app.query_one("#summary", Static).render())
        scene.routes = {}
        app.draw()
        assert cells(app) == []


async def test_q_quits(scene: Scene) -> None:
    app = Top(scene)
    async with app.run_test() as pilot:
        await pilot.press("q")
    assert app.return_code == 0
