"""Events of routes: a drain, the readiness and the loss of pods, when they begin and when they end."""

import pytest
from pykube.objects import Pod

from support.operator_process import OperatorProcess
from support.service import NOT_READY, READY, SHUT_DOWN, Service
from support.waiting import eventually, stays

DRAINED = "the pods keep their users and take no new ones"
BACK = ("Normal", "LossEnded", "pod 'game-2' is back, and users are served again")


def events_of_route(game: Service, *reasons: str) -> list[tuple[str, str, str]]:
    """Returns the events of the route with these reasons."""
    events = [(event["type"], event["reason"], event["note"]) for event in game.events("StatefulRoute")]
    return [event for event in events if event[1] in reasons]


def await_events(game: Service, *expected: tuple[str, str, str]) -> None:
    """Waits until the route has these events, and no others with the same reasons."""
    reasons = {reason for _, reason, _ in expected}
    eventually(lambda: events_of_route(game, *reasons) == [*expected], f"the events are {expected}")


@pytest.mark.usefixtures("own_operator")
def test_kubectl_shows_when_a_drain_begins_and_ends(game: Service) -> None:
    game.edit_route(routingState="DenyNewCall")
    game.await_status(routingState="DenyNewCall")
    game.edit_route(routingState="Ready")
    events = [
        ("Normal", "DrainStarted", f"routingState changed from Ready to DenyNewCall (generation 2): {DRAINED}"),
        (
            "Normal",
            "DrainEnded",
            "routingState changed from DenyNewCall to Ready (generation 3): the pods take new users",
        ),
    ]
    await_events(game, *events)
    for command in (("events", "--for", "statefulroute/game"), ("describe", "statefulroute", "game")):
        shown = game.kubectl.run(*command).expect_success().stdout
        assert [note for _, _, note in events if note not in shown] == [], shown


@pytest.mark.usefixtures("own_operator")
def test_route_has_an_event_when_it_stops_and_starts_to_serve_users(service: Service) -> None:
    service.create_pods(1)
    ready = ("wait", "--for=jsonpath={.status.readyReplicas}=1", f"statefulset/{service.name}", "--timeout=60s")
    service.kubectl.run(*ready).expect_success()
    service.create_route()  # its first status, which has no event, is Ready
    service.await_condition("Ready", "True")
    service.annotate(0, NOT_READY)
    unready = ("Warning", "NoRoutablePod", "no pod of the workload is ready and takes users")
    await_events(service, unready)
    service.annotate(0, READY)
    service.await_condition("Ready", "True")
    eventually(
        lambda: (
            events_of_route(service, "NoRoutablePod", "Routable")[-1]
            == ("Normal", "Routable", "1 of 1 pod serves users")
        ),
        "the route serves users again",
    )


@pytest.mark.usefixtures("own_operator")
def test_loss_of_a_pod_is_over_when_all_its_links_have_moved(game: Service) -> None:
    game.set_on_pod_lost("Rebind")
    names = game.link_all((f"user-{number}" for number in range(5)), podIndex=2)
    game.await_all_bound(5)
    game.annotate(2, SHUT_DOWN)
    await_events(
        game,
        ("Warning", "LossStarted", "pod 'game-2' is lost with 5 links: Shutdown"),
        ("Normal", "LossEnded", "pod 'game-2' is without links: all have moved or were deleted"),
    )
    assert all(game.get(name)["status"]["previous"]["cause"] == "Shutdown" for name in names)
    assert not game.route_status().get("lostPods")


def test_restarted_operator_repeats_no_event_of_a_loss_and_records_its_end(
    own_operator: OperatorProcess, game: Service
) -> None:
    game.set_on_pod_lost("Keep", grace_seconds=1)
    for uid in ("alice", "bob"):
        game.await_bound(game.link(uid, podIndex=2))
    lost = ("Warning", "LossStarted", "pod 'game-2' is lost with 2 links: PodDeleted")
    with game.pod_quota(2):
        game.client.delete(Pod, "game-2", game.namespace)
        await_events(game, lost)
        game.await_status(readyReplicas=2)
        eventually(lambda: game.route_status().get("lostPods"), "the status contains the lost pod")
        (status,) = game.route_status()["lostPods"]
        assert status.pop("lostTime")
        assert status == {"index": 2, "name": "game-2", "cause": "PodDeleted", "links": 2}
        before = game.events("StatefulRoute")
        own_operator.kill()
        own_operator.start()
        game.await_bound(game.link("carol", podIndex=0))
        stays(lambda: game.events("StatefulRoute") == before, "nothing is recorded after the grace period", seconds=3.0)
    await_events(game, lost, BACK)
    eventually(lambda: not game.route_status()["lostPods"], "the status contains no lost pod")
    game.await_all_bound(3)
