"""Many links at the same time: each is written as often as it must be, and once."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from support.kubectl import Kubectl
from support.link_recorder import LinkRecorder
from support.operator_process import OperatorProcess, OperatorSlot
from support.scale import scaled
from support.service import SHUT_DOWN, Service, is_bound
from support.waiting import eventually, settled

pytestmark = [pytest.mark.usefixtures("quiet_cluster"), pytest.mark.timeout(900)]

PATIENCE = 300.0


@pytest.fixture
def one_by_one(installed: Kubectl, operator_slot: OperatorSlot) -> Iterator[OperatorProcess]:
    """An operator that moves few links in a second."""
    del installed
    with operator_slot.acquire(None, "--moves-per-second", "20") as process:
        yield process.start()


def fill(service: Service, number: int) -> None:
    """Bind so many links, evenly, to pods that they name themselves."""
    pods = service.route_status()["replicas"]
    service.link_each({f"user-{each}": {"podIndex": each % pods} for each in range(number)})


def await_bound(recorder: LinkRecorder, number: int) -> None:
    """Wait until so many links are there, and each is bound as it asks."""
    eventually(
        lambda: Counter(is_bound(version.object) for version in recorder.latest()) == {True: number},
        f"all {number} links are bound",
        seconds=PATIENCE,
    )


@pytest.mark.usefixtures("own_operator")
def test_the_links_of_half_the_pods_move_once_each_and_evenly(service: Service, recorder: LinkRecorder) -> None:
    number = scaled(600, 3_000)
    service.start(replicas=6, onPodLost={"action": "Rebind", "graceSeconds": 3600})
    fill(service, number)
    await_bound(recorder, number)
    count = service.client.count_requests()
    service.scale(3)
    eventually(
        lambda: all(version.pod in {0, 1, 2} for version in recorder.latest()), "all are moved", seconds=PATIENCE
    )
    await_bound(recorder, number)
    paths = recorder.all_pods()
    for each in range(number):
        path = paths[f"game.user-{each}"]
        assert path[0] == each % 6
        assert len(path) == (1 if each % 6 < 3 else 2), path
    patches = count.patches()
    assert (patches["podlinks"], patches["podlinks/status"]) == (number // 2, number // 2)
    spread = Counter(version.pod for version in recorder.latest())
    assert max(spread.values()) <= 1.2 * number / 3
    assert spread == {0: number // 3, 1: number // 3, 2: number // 3}


@pytest.mark.usefixtures("own_operator")
def test_a_rolling_restart_moves_none_and_rewrites_none(service: Service, recorder: LinkRecorder) -> None:
    number = scaled(600, 3_000)
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
def test_temporary_links_that_are_due_together_all_go_and_nobody_else(game: Service, recorder: LinkRecorder) -> None:
    number = scaled(500, 2_000)
    fill(game, 100)
    await_bound(recorder, 100)
    first = datetime.now(UTC) + timedelta(seconds=scaled(6, 20))
    ttl = timedelta(hours=1)
    game.link_each(
        {
            f"guest-{each}": {
                "podIndex": each % 3,
                "ttlSeconds": int(ttl.total_seconds()),
                "renewTime": (first - ttl + timedelta(seconds=3 * each / number)).isoformat(),
            }
            for each in range(number)
        }
    )
    eventually(lambda: len(recorder.latest()) == 100, "the guests are gone", seconds=PATIENCE)
    await_bound(recorder, 100)
    stories = recorder.all_transitions()
    assert {name for name, story in stories.items() if story[-1] == "deleted"} == {
        f"game.guest-{each}" for each in range(number)
    }
    assert {tuple(story) for name, story in stories.items() if "user" in name} == {("created", "Bound")}
    game.await_status(links=100)


@pytest.mark.usefixtures("own_operator")
def test_a_wave_of_users_is_told_in_few_events(game: Service, recorder: LinkRecorder) -> None:
    game.link_all(f"user-{each}" for each in range(500))
    await_bound(recorder, 500)
    game.await_status(links=500)
    eventually(lambda: len(game.events()) >= 40, "the first of them are told of")
    assert len(game.events()) <= 120


@pytest.mark.usefixtures("one_by_one")
def test_moves_take_turns(game: Service, recorder: LinkRecorder) -> None:
    game.set_on_pod_lost("Rebind")
    names = game.link_all((f"user-{each}" for each in range(100)), podIndex=2)
    await_bound(recorder, 100)
    game.annotate(2, SHUT_DOWN)
    eventually(lambda: all(version.pod != 2 for version in recorder.latest()), "all are moved", seconds=PATIENCE)
    await_bound(recorder, 100)
    moved = Counter(game.get(name)["status"]["previous"]["time"] for name in names)
    assert max(moved.values()) <= 40
    first, last = (datetime.fromisoformat(time) for time in (min(moved), max(moved)))
    assert last - first >= timedelta(seconds=3)


@pytest.mark.usefixtures("one_by_one")
def test_who_waits_for_a_turn_stays_when_the_pod_comes_back_first(game: Service) -> None:
    game.set_on_pod_lost("Rebind")
    game.link_all((f"user-{each}" for each in range(200)), podIndex=2)
    game.await_all_bound(200)
    game.annotate(2, SHUT_DOWN)
    eventually(lambda: game.links_by_pod().get(2, 0) < 200, "some are moved")
    game.annotate(2, {"statefulroute.io/routing-state": None})
    game.await_pod(2, routingState="Ready")
    game.await_bound(game.link("afterwards", podIndex=2))
    spread = settled(game.links_by_pod, "nobody is moved any more", seconds=2.0)  # time for 40 more to have their turn
    assert spread[2] > 1
    game.await_all_bound(201)
    assert game.links_by_pod() == spread
