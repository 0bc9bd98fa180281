"""What commands say about closing pods."""

from datetime import UTC, datetime, timedelta

import pytest

from statefulroute.cli.closing_pods import ClosingPod, closing_pods, describe_occupied, shutdown_summary, summary
from statefulroute.cli.disruptions import disruption_obstacles

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pod(name: str, links: int, minutes: int = 34, reason: str = "ScaleDown") -> ClosingPod:
    return ClosingPod(name, reason, links, NOON + timedelta(minutes=minutes))


def test_closing_pods_are_read_from_the_status_with_the_links_of_all_routes() -> None:
    closing = {"reason": "Rollout", "since": "2026-01-01T11:34:00Z", "deadline": "2026-01-01T12:34:00Z"}
    pods = [
        {"name": "game-0", "links": 9},
        {"name": "game-1", "links": 1, "closing": closing},
        {"name": "game-2", "links": 0, "totalLinks": 5, "closing": closing},
        {"name": "game-3", "links": 2, "closing": {"reason": "Rollout"}},
    ]
    assert closing_pods({"status": {"pods": pods}}) == [
        pod("game-2", 5, reason="Rollout"),
        pod("game-1", 1, reason="Rollout"),
    ]
    assert closing_pods({}) == []


@pytest.mark.parametrize(
    ("pods", "text"),
    [
        ([pod("a", 12)], "1 ScaleDown (12 links, 34m left)"),
        ([pod("a", 12, 5), pod("b", 1, 34), pod("c", 0, 50, "Rollout")], "1 Rollout, 2 ScaleDown (13 links, 34m left)"),
        ([pod("a", 1, -1)], "1 ScaleDown (1 link, deadline over)"),
        ([pod("a", 0)], "1 ScaleDown (0 links)"),
    ],
)
def test_summary_counts_pods_by_reason_and_names_the_last_deadline_of_users(pods: list[ClosingPod], text: str) -> None:
    assert summary(pods, NOON) == text


def test_pods_that_hand_their_users_over_are_shown() -> None:
    closing = {"reason": "ScaleDown", "since": "2026-01-01T11:00:00Z", "deadline": "2026-01-01T11:34:00Z"}
    pods = [
        {"name": "game-0", "links": 9, "handingOver": True},
        {"name": "game-1", "links": 3, "handingOver": True},
        {"name": "game-2", "links": 2, "handingOver": True, "closing": closing},
        {"name": "game-3", "links": 5},
    ]
    route = {"status": {"pods": pods}}
    assert [*shutdown_summary(route)] == ["2 Shutdown (12 links, handing over)"]
    assert [*shutdown_summary({"status": {"pods": pods[2:]}})] == []
    assert summary(closing_pods(route), NOON) == "1 ScaleDown (2 links, handing over)"
    assert describe_occupied(closing_pods(route), NOON) == "game-2 (2 links, handing over)"
    assert closing_pods(route)[0].label(NOON) == "ScaleDown (handing over)"


def test_occupied_pods_are_named_with_their_users_and_deadlines() -> None:
    pods = [pod(f"game-{number}", number) for number in (12, 5, 4, 3, 0)]
    assert describe_occupied(pods, NOON) == (
        "game-12 (12 links, 34m left), game-5 (5 links, 34m left), game-4 (4 links, 34m left) and 1 more pod"
    )
    assert describe_occupied(pods[:1], NOON) == "game-12 (12 links, 34m left)"
    assert describe_occupied(pods[4:], NOON) == ""


@pytest.mark.parametrize(
    ("status", "reason", "is_obstacle"),
    [
        ("False", "RollingOut", False),
        ("True", "Scaled", False),
        ("False", "Scaling", False),
        ("False", "WaitingForUsers", False),
        ("False", "WorkloadNotFound", False),
        ("False", "ScaleRefused", True),
        ("False", "OfALaterVersion", True),
    ],
)
def test_an_obstacle_is_what_does_not_pass_when_users_leave(status: str, reason: str, *, is_obstacle: bool) -> None:
    route = {"status": {"conditions": [{"type": "Scaled", "status": status, "reason": reason, "message": ""}]}}
    assert bool(disruption_obstacles(route)) == is_obstacle
