"""The operator is stopped, killed and disconnected, without harm to any link."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from localcluster import LocalCluster
from support.independent_client import IndependentClient, StatefulRoute
from support.link_recorder import LinkRecorder
from support.operator_process import PROGRAM, OperatorProcess, OperatorSlot
from support.scale import scaled
from support.service import Service
from support.waiting import eventually

NAMED = ["created", "Bound"]
CHOSEN = ["created", "chosen", "Bound"]

HELD_BACK_SECONDS = 120.0


@pytest.mark.usefixtures("own_operator")
class TestLinksAreBeingCreated:
    """The operator stops in several ways while links are created."""

    def test_kill_in_the_middle_costs_no_second_write(
        self, own_operator: OperatorProcess, game: Service, recorder: LinkRecorder
    ) -> None:
        number = scaled(200, 1_000)
        with creating(game, number, held_back=number * 2 // 5) as resume:
            await_bound(recorder, number * 3 // 10)
            resume()
            own_operator.kill()
            own_operator.start()
        game.await_all_bound(number)
        assert recorder.all_transitions() == expected_transitions(number)
        spread = game.links_by_pod()
        assert max(spread.values()) - min(spread.values()) <= 1
        game.await_status(links=number)

    def test_every_link_is_bound_after_two_kills(
        self, own_operator: OperatorProcess, game: Service, recorder: LinkRecorder
    ) -> None:
        total = scaled(160, 400)
        with creating(game, total):
            for number in (total // 8, total // 2):
                await_bound(recorder, number)
                own_operator.kill()
                own_operator.start()
        game.await_all_bound(total)
        assert recorder.all_transitions() == expected_transitions(total)

    def test_stopping_operator_finishes_writes_in_progress_and_leaves_the_rest(
        self, own_operator: OperatorProcess, game: Service, recorder: LinkRecorder
    ) -> None:
        number = scaled(120, 400)
        with creating(game, number, held_back=number // 2) as resume:
            await_bound(recorder, number // 4)
            with ThreadPoolExecutor() as pool:
                stopped = pool.submit(own_operator.stop)
                resume()  # so that links come while it stops, and are left when it has stopped
                stopped.result()
            links = game.links()
            half_bound = [link for link in links if "podIndex" in link["spec"] and link["spec"]["uid"].startswith("c")]
            assert [link["metadata"]["name"] for link in half_bound if "status" not in link] == []
        assert recorder.count_in_phase("Bound") < number
        assert own_operator.errors() == []
        own_operator.start()
        game.await_all_bound(number)
        assert recorder.all_transitions() == expected_transitions(number)


def test_links_can_be_created_and_moved_while_no_operator_runs(own_operator: OperatorProcess, game: Service) -> None:
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


def test_operator_catches_up_with_changes_while_none_ran(own_operator: OperatorProcess, service: Service) -> None:
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


def test_operator_that_stops_as_soon_as_it_serves_exits_cleanly(own_operator: OperatorProcess) -> None:
    for _ in range(3):
        own_operator.restart()
    own_operator.stop()


def test_missing_kubeconfig_is_reported_in_one_sentence(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    done = subprocess.run(
        [PROGRAM, "operator", "--kubeconfig", missing], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("statefulroute: cannot load the cluster's configuration (")
    assert done.stderr.count("\n") == 1
    assert str(missing) in done.stderr


def test_operator_survives_an_outage_of_the_api_server(
    own_operator: OperatorProcess, game: Service, cluster: LocalCluster, operator_slot: OperatorSlot
) -> None:
    if cluster.provider not in {"builtin", "envtest"}:
        pytest.skip("this cluster's API server cannot be killed by the test")
    game.await_bound(game.link("before", podIndex=0))
    pid = own_operator.pid
    apiserver = cluster.part("apiserver")
    apiserver.kill()
    eventually(lambda: not apiserver.is_running, "the API server is gone")
    eventually(lambda: "watching failed" in own_operator.log_text, "the operator has lost the API server")
    apiserver.restart()
    restarted = Service(game.kubectl, IndependentClient(cluster.kubeconfig))
    restarted.await_bound(restarted.link("afterwards"))
    restarted.annotate(0, {"statefulroute.io/routing-state": "Shutdown"})
    restarted.await_status(links=2, routablePods=2)
    restarted.kubectl.run("delete", "statefulroute", "game", "--timeout=50s").expect_success()
    restarted.await_link("game.before", "Pending", "RouteNotFound")
    assert operator_slot.is_occupied
    assert own_operator.pid == pid
    own_operator.stop()


@contextmanager
def creating(game: Service, number: int, held_back: int = 0) -> Iterator[Callable[[], None]]:
    """Creates links at the same time, half of which leave the choice.

    The last ones are held back until the yielded function is called, so that links are certainly left to create.
    """
    resume = threading.Event()
    failures: list[BaseException] = []

    def create() -> None:
        try:
            for part in (range(number - held_back), range(number - held_back, number)):
                game.client.in_parallel(lambda index: game.link(**spec_of(index)), part)
                resume.wait(timeout=HELD_BACK_SECONDS)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    thread = threading.Thread(target=create, name="creating")
    thread.start()
    try:
        yield resume.set
    finally:
        resume.set()
        thread.join()
    if failures:
        raise failures[0]


def await_bound(recorder: LinkRecorder, number: int) -> None:
    """Waits until this many links are bound, and not long after that."""
    eventually(lambda: recorder.count_in_phase("Bound") >= number, f"{number} links are bound", poll_seconds=0.05)


def spec_of(number: int) -> dict[str, object]:
    """Returns the spec of a link by its number; the even ones name their pod."""
    if number % 2:
        return {"uid": f"c{number}"}
    return {"uid": f"p{number}", "podIndex": number // 2 % 3}


def expected_transitions(number: int) -> dict[str, list[str]]:
    """Returns the transitions of this many links if none is written more often than necessary."""
    return {f"game.{spec_of(index)['uid']}": CHOSEN if index % 2 else NAMED for index in range(number)}
