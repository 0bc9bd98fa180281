"""The operator is stopped, killed and cut off; the links are none the worse for it."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localcluster import LocalCluster
from support.independent_client import IndependentClient, StatefulRoute
from support.link_recorder import LinkRecorder
from support.operator_process import PROGRAM, OperatorProcess, OperatorSlot
from support.service import Service
from support.waiting import eventually

PINNED = ["created", "Bound"]
CHOSEN = ["created", "chosen", "Bound"]

HELD_BACK_SECONDS = 120.0


@pytest.mark.usefixtures("own_operator")
class TestLinksAreBeingCreated:
    """The operator ends while links are being created, one way or the other."""

    def test_a_kill_in_the_middle_costs_no_second_write(
        self, own_operator: OperatorProcess, game: Service, recorder: LinkRecorder
    ) -> None:
        with creating(game, 1_000, held_back=400) as go_on:
            eventually(lambda: recorder.count_in_phase("Bound") >= 300, "300 links are bound")
            go_on()
            own_operator.kill()
            own_operator.start()
        game.await_all_bound(1_000)
        assert recorder.all_transitions() == expected_stories(1_000)
        spread = game.links_by_pod()
        assert max(spread.values()) - min(spread.values()) <= 1
        game.await_status(links=1_000)

    def test_two_kills_later_every_link_is_bound(
        self, own_operator: OperatorProcess, game: Service, recorder: LinkRecorder
    ) -> None:
        with creating(game, 400):
            for number in (50, 200):
                eventually(
                    lambda number=number: recorder.count_in_phase("Bound") >= number, f"{number} links are bound"
                )
                own_operator.kill()
                own_operator.start()
        game.await_all_bound(400)
        assert recorder.all_transitions() == expected_stories(400)

    def test_asked_to_end_it_finishes_what_is_under_way_and_leaves_the_rest(
        self, own_operator: OperatorProcess, game: Service, recorder: LinkRecorder
    ) -> None:
        with creating(game, 400, held_back=200) as go_on:
            eventually(lambda: recorder.count_in_phase("Bound") >= 100, "100 links are bound")
            go_on()
            own_operator.stop()
            left = game.links()
            half_done = [link for link in left if "podIndex" in link["spec"] and link["spec"]["uid"].startswith("c")]
            assert [link["metadata"]["name"] for link in half_done if "status" not in link] == []
        assert recorder.count_in_phase("Bound") < 400
        assert own_operator.errors() == []
        own_operator.start()
        game.await_all_bound(400)
        assert recorder.all_transitions() == expected_stories(400)


def test_links_can_be_set_and_moved_while_no_operator_runs(own_operator: OperatorProcess, game: Service) -> None:
    game.await_bound(game.link("alice", podIndex=0))
    game.await_bound(game.link("bob", podIndex=0))
    own_operator.stop()
    game.kubectl.patch("podlink", "game.alice", {"spec": {"podIndex": 2}}).expect_success()
    game.kubectl.run("delete", "podlink", "game.bob").expect_success()
    game.link("carol")
    own_operator.start()
    assert game.await_bound("game.alice")["podName"] == "game-2"
    game.await_bound("game.carol")
    game.await_status(links=2)


def test_what_changed_while_no_operator_ran_is_made_up_for(own_operator: OperatorProcess, service: Service) -> None:
    service.start(replicas=1, onPodLost={"graceSeconds": 3600})
    waiting = service.link("alice", podIndex=2)
    service.await_link(waiting, "Pending", "PodNotFound")
    bound = service.link("bob", podIndex=0)
    service.await_bound(bound)
    own_operator.stop()
    service.scale(3)
    service.kubectl.run("rollout", "status", "statefulset/game", "--timeout=30s").expect_success()
    own_operator.start()
    assert service.await_bound(waiting)["podName"] == "game-2"
    service.await_pods(3)
    own_operator.stop()
    service.kubectl.run("delete", "statefulroute", "game", "--wait=false").expect_success()
    assert service.exists(StatefulRoute, "game")
    own_operator.start()
    eventually(lambda: not service.exists(StatefulRoute, "game"), "the route is gone")
    for name in (waiting, bound):
        service.await_link(name, "Pending", "RouteNotFound")


def test_asked_to_end_as_soon_as_it_serves_it_ends_well(own_operator: OperatorProcess) -> None:
    for _ in range(3):
        own_operator.restart()
    own_operator.stop()


def test_without_its_kubeconfig_it_says_one_sentence(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    done = subprocess.run(
        [PROGRAM, "operator", "--kubeconfig", missing], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("statefulroute: cannot load the cluster's configuration (")
    assert done.stderr.count("\n") == 1
    assert str(missing) in done.stderr


def test_it_outlives_the_api_server(
    own_operator: OperatorProcess, game: Service, cluster: LocalCluster, operator_slot: OperatorSlot
) -> None:
    if cluster.provider not in {"builtin", "envtest"}:
        pytest.skip("this cluster's API server is not ours to kill")
    game.await_bound(game.link("before", podIndex=0))
    pid = own_operator.pid
    apiserver = cluster.part("apiserver")
    apiserver.kill()
    eventually(lambda: not apiserver.is_running, "the API server is gone")
    eventually(lambda: "watching failed" in own_operator.log_text, "the operator has noticed")
    apiserver.restart()
    after = Service(game.kubectl, IndependentClient(cluster.kubeconfig))
    after.await_bound(after.link("afterwards"))
    after.annotate(0, {"statefulroute.io/routing-state": "Shutdown"})
    after.await_status(links=2, routablePods=2)
    after.kubectl.run("delete", "statefulroute", "game", "--timeout=50s").expect_success()
    after.await_link("game.before", "Pending", "RouteNotFound")
    assert operator_slot.is_occupied
    assert own_operator.pid == pid
    own_operator.stop()


@contextmanager
def creating(game: Service, number: int, held_back: int = 0) -> Iterator[Callable[[], None]]:
    """Create so many links at the same time, half of which leave the choice.

    The last ones are held back until the function that it gives is called: more are to come then, for certain.
    """
    go_on = threading.Event()
    failures: list[BaseException] = []

    def create() -> None:
        try:
            for part in (range(number - held_back), range(number - held_back, number)):
                game.client.in_parallel(lambda each: game.link(**spec_of(each)), part)
                go_on.wait(timeout=HELD_BACK_SECONDS)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    thread = threading.Thread(target=create, name="creating")
    thread.start()
    try:
        yield go_on.set
    finally:
        go_on.set()
        thread.join()
    if failures:
        raise failures[0]


def spec_of(number: int) -> dict[str, object]:
    """The link of this number: the even ones name their pod."""
    if number % 2:
        return {"uid": f"c{number}"}
    return {"uid": f"p{number}", "podIndex": number // 2 % 3}


def expected_stories(number: int) -> dict[str, list[str]]:
    """What so many links went through, when none was written once too often."""
    return {f"game.{spec_of(each)['uid']}": CHOSEN if each % 2 else PINNED for each in range(number)}
