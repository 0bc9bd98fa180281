"""The operator is killed, stopped and restarted while links expire and move, without harm to any link."""

import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from pykube.exceptions import HTTPError

from localcluster import LocalCluster
from localcluster.cluster import Part
from support.independent_client import PodLink
from support.kubectl import Kubectl
from support.link_recorder import LinkRecorder
from support.operator_process import OperatorProcess, OperatorSlot
from support.scale import scaled
from support.service import NOT_READY, SHUT_DOWN, Service
from support.waiting import eventually, stays

pytestmark = pytest.mark.usefixtures("quiet_cluster")

PATIENCE = 60.0

#: Later than the end of any test.
RENEWED = "2100-01-01T00:00:00Z"


@pytest.fixture
def wide_operator(installed: Kubectl, operator_slot: OperatorSlot) -> Iterator[OperatorProcess]:
    """An operator with many parallel writes."""
    del installed
    with operator_slot.acquire(None, "--parallel-writes", "64") as process:
        yield process.start()


def test_links_that_expired_while_no_operator_ran_are_deleted_at_its_start(
    own_operator: OperatorProcess, game: Service
) -> None:
    kept = game.link("kept", podIndex=0)
    names = [*game.link_all((f"guest-{index}" for index in range(5)), podIndex=0, ttlSeconds=600), kept]
    orphan = Service(game.kubectl, game.client, "nowhere").link("alice", ttlSeconds=600)
    for name in names:
        game.await_bound(name)
    game.await_link(orphan, "Pending", "RouteNotFound")
    own_operator.stop()
    for name in (*names[:5], orphan):
        game.client.patch(PodLink, name, game.namespace, {"spec": {"renewTime": "2026-01-01T00:00:00Z"}})
    never_seen = game.link("never-seen", podIndex=0, ttlSeconds=1, renewTime="2026-01-01T00:00:00Z")
    own_operator.start()
    game.await_deleted(*names[:5], orphan, never_seen)
    game.await_bound(kept)
    own_operator.stop()
    assert own_operator.errors() == []


def test_renewal_at_the_last_moment_wins_or_is_refused(
    wide_operator: OperatorProcess, game: Service, cluster: LocalCluster, recorder: LinkRecorder
) -> None:
    """The API server is frozen while links expire: the operator's deletes and the users' renewals arrive together."""
    if cluster.provider not in {"builtin", "envtest"}:
        pytest.skip("this cluster's API server cannot be frozen by the test")
    count = game.client.count_requests()
    refused_deletes = 0
    for round_ in range(5):
        names = game.link_all((f"guest-{round_}-{index}" for index in range(50)), podIndex=1, ttlSeconds=3600)
        game.await_links(names, "Bound", "Bound")
        outcomes = race(game, cluster.part("apiserver"), names)
        left = {name for name, has_won in outcomes.items() if has_won}
        eventually(lambda names=names, left=left: existing(game, names) == left, "exactly the renewed links remain")
        stays(lambda names=names, left=left: existing(game, names) == left, "they remain", seconds=1.0)
        for name in left:
            assert game.get(name)["spec"]["renewTime"] == RENEWED, name
        histories = recorder.transitions_of(names)
        assert {name for name, history in histories.items() if "deleted" in history} == {*names} - left
        if refused_deletes := count.total("DELETE", "podlinks", code=409):
            break
    assert refused_deletes, "no delete was refused because of an earlier renewal: they never arrived together"
    wide_operator.stop()
    assert wide_operator.errors() == []


def race(game: Service, server: Part, names: Sequence[str]) -> dict[str, bool]:
    """Renews links at the moment when they expire; returns for each link whether the renewal was accepted."""
    end = datetime.now(UTC) + timedelta(seconds=5)
    renewal = (end - timedelta(hours=1)).isoformat()
    game.client.in_parallel(
        lambda name: game.client.patch(PodLink, name, game.namespace, {"spec": {"renewTime": renewal}}), names
    )
    game.await_links(names, "Bound", "Bound")
    early, late = Barrier(len(names) // 2 + 1), Barrier(len(names) // 2 + 1)
    with ThreadPoolExecutor(len(names)) as pool:
        renewals = [pool.submit(renew, game, name, (early, late)[index % 2]) for index, name in enumerate(names)]
        sleep_until(end - timedelta(seconds=0.5))
        with frozen(server):
            early.wait(PATIENCE)
            sleep_until(end + timedelta(seconds=1))  # the operator has sent its requests by now
        late.wait(PATIENCE)
        return {name: renewal.result() for name, renewal in zip(names, renewals, strict=True)}


def renew(game: Service, name: str, start: Barrier) -> bool:
    """Renews the current version of a link when the barrier opens; returns whether the renewal was accepted."""
    version = game.get(name)["metadata"]["resourceVersion"]
    start.wait(PATIENCE)
    change = {"metadata": {"resourceVersion": version}, "spec": {"renewTime": RENEWED}}
    try:
        game.client.patch(PodLink, name, game.namespace, change)
    except HTTPError as refusal:
        assert refusal.code in {404, 409}, refusal  # noqa: PT017 - any other refusal is a failure
        return False
    return True


def test_operator_that_is_killed_during_moves_moves_each_link_once(
    own_operator: OperatorProcess, service: Service, recorder: LinkRecorder
) -> None:
    service.start(replicas=4, onPodLost={"action": "Rebind", "graceSeconds": 3600})
    total = scaled(180, 300)
    moving = service.link_all((f"user-{index}" for index in range(total)), podIndex=3)
    staying = service.link_all((f"other-{index}" for index in range(30)), podIndex=0)
    service.await_all_bound(total + 30)
    service.annotate(3, SHUT_DOWN)
    for number in (total // 5, total * 8 // 15):
        eventually(
            lambda number=number: has_left(recorder, 3) >= number, f"{number} links are moved", poll_seconds=0.05
        )
        own_operator.kill()
        assert has_left(recorder, 3) < total
        own_operator.start()
    # Until its turn, a link stays bound to the lost pod.
    eventually(lambda: 3 not in service.links_by_pod(), "all links are moved")
    service.await_all_bound(total + 30)
    paths, statuses = recorder.all_pods(), {link["metadata"]["name"]: link["status"] for link in service.links()}
    for name in moving:
        assert len(paths[name]) == 2, (name, paths[name])
        assert paths[name][0] == 3
        assert paths[name][1] in {0, 1, 2}
        assert statuses[name]["previous"]["podIndex"] == 3
    assert recorder.transitions_of(staying) == {name: ["created", "Bound"] for name in staying}
    spread = service.links_by_pod()
    assert spread == dict.fromkeys(range(3), total // 3 + 10)
    own_operator.stop()
    assert own_operator.errors() == []


def test_move_that_a_kill_interrupts_keeps_its_reason(
    own_operator: OperatorProcess, service: Service, recorder: LinkRecorder
) -> None:
    service.start(replicas=4, onPodLost={"action": "Rebind", "graceSeconds": 3600})
    names = service.link_all((f"user-{index}" for index in range(20)), podIndex=3)
    service.await_all_bound(20)
    own_operator.stop()
    service.annotate(3, SHUT_DOWN)
    for name in names:  # what a kill between the two writes of a move leaves behind
        service.client.patch(PodLink, name, service.namespace, {"spec": {"podIndex": 1}})
    own_operator.start()
    service.await_all_bound(20)
    assert {service.get(name)["status"]["previous"]["reason"] for name in names} == {"PodLost"}
    assert {name: len(pods) for name, pods in recorder.all_pods().items()} == dict.fromkeys(names, 2)


def test_restart_writes_nothing_for_links_of_any_state(
    own_operator: OperatorProcess, service: Service, recorder: LinkRecorder
) -> None:
    part = scaled(20, 50)
    total = 9 * part
    service.start(onPodLost={"action": "Keep", "graceSeconds": 3600}, placement={"maxLinksPerPod": 400})
    service.link_all((f"guest-{index}" for index in range(4 * part)), podIndex=0, ttlSeconds=3600)
    service.link_all((f"user-{index}" for index in range(2 * part)), podIndex=1)
    service.link_all(f"chosen-{index}" for index in range(2 * part))
    lost = service.link_all((f"lost-{index}" for index in range(part)), podIndex=2)
    service.await_all_bound(total)
    service.kubectl.patch("podlink", "game.user-0", {"spec": {"podIndex": 0}}).expect_success()
    service.await_bound("game.user-0")
    service.annotate(2, SHUT_DOWN)
    service.await_links(lost, "Lost", "PodLost")
    service.await_status(routablePods=2, links=total)
    service.annotate(0, NOT_READY)
    service.await_status(routablePods=1)
    eventually(
        lambda: recorder.count_in_phase("Bound") + recorder.count_in_phase("Lost") == total, "all links have a status"
    )
    own_operator.stop()  # which writes the last events
    transitions, events = recorder.all_transitions(), len(service.events())
    count = service.client.count_requests()
    own_operator.start()
    stays(lambda: count.patches() == {}, "nothing is written after a restart", poll_seconds=3.0)
    assert count.total("DELETE", "podlinks") == 0
    assert recorder.all_transitions() == transitions
    assert len(service.events()) == events


@contextmanager
def frozen(part: Part) -> Iterator[None]:
    """Freezes a part of the cluster while the context lasts; requests to it wait."""
    part.kill(signal.SIGSTOP)
    try:
        yield
    finally:
        part.kill(signal.SIGCONT)


def sleep_until(moment: datetime) -> None:
    """Sleeps until a time."""
    time.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))


def has_left(recorder: LinkRecorder, index: int) -> int:
    """Returns the number of links that were moved away from a pod, without waiting for events in flight."""
    return sum(version.pod != index and version.name.startswith("game.user") for version in recorder.latest())


def existing(game: Service, names: Sequence[str]) -> set[str]:
    """Returns those of the links that exist."""
    return {link["metadata"]["name"] for link in game.links()} & {*names}
