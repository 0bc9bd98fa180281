"""Many links at the same time: each is written exactly as often as necessary."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from support.kubectl import Kubectl
from support.link_recorder import LinkRecorder
from support.operator_process import OperatorProcess, OperatorSlot
from support.scale import scaled
from support.service import NO_ROUTING_STATE, SHUT_DOWN, Service, condition_of, is_bound
from support.waiting import eventually, settled

pytestmark = [pytest.mark.usefixtures("quiet_cluster"), pytest.mark.timeout(900)]

PATIENCE = 300.0


@pytest.fixture
def slow_mover(installed: Kubectl, operator_slot: OperatorSlot) -> Iterator[OperatorProcess]:
    """An operator that moves few links in a second."""
    del installed
    with operator_slot.acquire(None, "--moves-per-second", "20") as process:
        yield process.start()


def fill(service: Service, number: int) -> None:
    """Creates links that name their pods, evenly."""
    pods = service.route_status()["replicas"]
    service.link_each({f"user-{index}": {"podIndex": index % pods} for index in range(number)})


def await_bound(recorder: LinkRecorder, number: int) -> None:
    """Waits until this many links exist, and each is bound."""
    eventually(
        lambda: Counter(is_bound(version.object) for version in recorder.latest()) == {True: number},
        f"all {number} links are bound",
        seconds=PATIENCE,
    )


@pytest.mark.usefixtures("own_operator")
def test_links_of_half_the_pods_move_once_each_and_evenly(service: Service, recorder: LinkRecorder) -> None:
    number = scaled(120, 3_000)
    service.start(replicas=6, onPodLost={"action": "Rebind", "graceSeconds": 3600})
    fill(service, number)
    await_bound(recorder, number)
    count = service.client.count_requests()
    service.scale(3)
    eventually(
        lambda: all(version.pod in {0, 1, 2} for version in recorder.latest()), "all links are moved", seconds=PATIENCE
    )
    await_bound(recorder, number)
    paths = recorder.all_pods()
    for index in range(number):
        path = paths[f"game.user-{index}"]
        assert path[0] == index % 6
        assert len(path) == (1 if index % 6 < 3 else 2), path
    patches = count.patches()
    assert (patches["podlinks"], patches["podlinks/status"]) == (number // 2, number // 2)
    spread = Counter(version.pod for version in recorder.latest())
    assert max(spread.values()) <= 1.2 * number / 3
    assert spread == {0: number // 3, 1: number // 3, 2: number // 3}


@pytest.mark.usefixtures("own_operator")
def test_rolling_restart_moves_and_rewrites_no_link(service: Service, recorder: LinkRecorder) -> None:
    number = scaled(60, 3_000)
    service.start(replicas=6)
    fill(service, number)
    await_bound(recorder, number)
    before, pods = recorder.all_transitions(), service.pod_ids()
    count = service.client.count_requests()
    service.kubectl.run("rollout", "restart", "statefulset/game").expect_success()
    service.kubectl.run("rollout", "status", "statefulset/game", "--timeout=55s").expect_success()
    assert not pods & service.pod_ids()
    service.await_pods(6)
    assert {resource for resource in count.patches() if resource.startswith("podlinks")} == set()
    assert recorder.all_transitions() == before


@pytest.mark.usefixtures("own_operator")
def test_only_the_expired_of_many_links_are_deleted(game: Service, recorder: LinkRecorder) -> None:
    number, others = scaled(75, 2_000), scaled(50, 100)
    fill(game, others)
    await_bound(recorder, others)
    first = datetime.now(UTC) + timedelta(seconds=scaled(6, 20))
    ttl = timedelta(hours=1)
    game.link_each(
        {
            f"guest-{index}": {
                "podIndex": index % 3,
                "ttlSeconds": int(ttl.total_seconds()),
                "renewTime": (first - ttl + timedelta(seconds=3 * index / number)).isoformat(),
            }
            for index in range(number)
        }
    )
    eventually(lambda: len(recorder.latest()) == others, "the guests are deleted", seconds=PATIENCE)
    await_bound(recorder, others)
    transitions = recorder.all_transitions()
    assert {name for name, history in transitions.items() if history[-1] == "deleted"} == {
        f"game.guest-{index}" for index in range(number)
    }
    assert {tuple(history) for name, history in transitions.items() if "user" in name} == {("created", "Bound")}
    game.await_status(links=others)


@pytest.mark.usefixtures("own_operator")
def test_wave_of_links_has_few_events(game: Service, recorder: LinkRecorder) -> None:
    number = scaled(300, 500)
    game.link_all(f"user-{index}" for index in range(number))
    await_bound(recorder, number)
    game.await_status(links=number)
    eventually(lambda: len(game.events()) >= 40, "the first events are recorded")
    assert len(game.events()) <= 120


@pytest.mark.usefixtures("slow_mover")
def test_moves_take_turns(game: Service, recorder: LinkRecorder) -> None:
    game.set_on_pod_lost("Rebind")
    names = game.link_all((f"user-{index}" for index in range(100)), podIndex=2)
    await_bound(recorder, 100)
    game.annotate(2, SHUT_DOWN)
    eventually(lambda: all(version.pod != 2 for version in recorder.latest()), "all links are moved", seconds=PATIENCE)
    await_bound(recorder, 100)
    moved = Counter(link["status"]["previous"]["time"] for link in game.links())
    assert moved.total() == len(names)
    assert max(moved.values()) <= 40
    first, last = (datetime.fromisoformat(time) for time in (min(moved), max(moved)))
    assert last - first >= timedelta(seconds=3)


@pytest.mark.usefixtures("slow_mover")
def test_link_that_waits_for_its_move_stays_if_its_pod_comes_back_first(game: Service) -> None:
    game.set_on_pod_lost("Rebind")
    number = scaled(100, 200)
    game.link_all((f"user-{index}" for index in range(number)), podIndex=2)
    game.await_all_bound(number)
    game.annotate(2, SHUT_DOWN)
    eventually(lambda: game.links_by_pod().get(2, 0) < number, "some links are moved", poll_seconds=0.1)
    game.annotate(2, NO_ROUTING_STATE)
    game.await_pod(2, routingState="Ready")
    game.await_bound(game.link("afterwards", podIndex=2))
    spread = settled(game.links_by_pod, "no link is moved any more", seconds=2.0)  # enough time for 40 more moves
    assert spread[2] > 1
    game.await_all_bound(number + 1)
    assert game.links_by_pod() == spread


@pytest.mark.usefixtures("slow_mover")
def test_moves_that_are_called_off_do_not_delay_the_links_of_the_next_lost_pod(game: Service) -> None:
    game.set_on_pod_lost("Rebind")
    game.link_all((f"user-{index}" for index in range(400)), podIndex=2)
    name = game.link("neighbour", podIndex=1)
    game.await_all_bound(401)
    game.annotate(2, SHUT_DOWN)
    eventually(lambda: game.links_by_pod().get(2, 0) < 400, "some links are moved", poll_seconds=0.1)
    game.annotate(1, SHUT_DOWN)
    game.await_pod(1, routingState="Shutdown")
    game.annotate(2, NO_ROUTING_STATE)
    eventually(lambda: game.get(name)["spec"]["podIndex"] != 1, "the neighbour is moved", seconds=8.0)  # not 20 s
    assert game.links_by_pod()[2] > 200


@pytest.mark.usefixtures("slow_mover")
def test_marks_of_links_of_a_lost_pod_take_turns(game: Service) -> None:
    game.set_on_pod_lost("Keep")
    names = game.link_all((f"user-{index}" for index in range(100)), podIndex=2)
    game.await_all_bound(100)
    game.annotate(2, SHUT_DOWN)
    game.await_links(names, "Lost", "PodLost")
    times = [datetime.fromisoformat(condition_of(link)["lastTransitionTime"]) for link in game.links()]
    assert max(times) - min(times) >= timedelta(seconds=3)
