"""A pod carries no more links than its route allows, unless links name it."""

from collections import Counter
from itertools import chain

import pytest

from support.independent_client import PodLink
from support.link_recorder import LinkRecorder
from support.service import NOT_READY, SHUT_DOWN, Service, condition_of, has_status
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")

LIMIT = 5


@pytest.fixture
def full(service: Service) -> Service:
    """A service with three pods that carry as many links as they may, `user-0` to `user-14`."""
    service.start(placement={"maxLinksPerPod": LIMIT})
    service.link_all(f"user-{number}" for number in range(3 * LIMIT))
    service.await_all_bound(3 * LIMIT)
    assert service.links_by_pod() == {0: LIMIT, 1: LIMIT, 2: LIMIT}
    return service


def create_waiting_links(service: Service, number: int) -> list[str]:
    """Creates links that find no room, one after another."""
    names = [service.link(f"waits-{index}") for index in range(number)]
    for name in names:
        service.await_link(name, "Pending", "AtCapacity")
    return names


def link_on(service: Service, index: int) -> str:
    """Returns the name of a link that is bound to the pod of this index."""
    return next(link["metadata"]["name"] for link in service.links() if link["spec"].get("podIndex") == index)


def delete_one(service: Service, index: int) -> None:
    """Deletes a link that is bound to the pod of this index."""
    service.client.delete(PodLink, link_on(service, index), service.namespace)


def test_links_that_wait_for_room_are_bound_in_the_order_of_their_creation(
    full: Service, recorder: LinkRecorder
) -> None:
    names = create_waiting_links(full, 5)
    assert condition_of(full.get(names[0]))["message"] == (
        f"no pod of StatefulRoute 'game' takes new users now: every pod is at the limit of {LIMIT} links "
        "(placement.maxLinksPerPod)"
    )
    assert "podIndex" not in full.get(names[0])["spec"]
    for number, name in enumerate(names[:3]):
        full.client.delete(PodLink, f"game.user-{number}", full.namespace)
        full.await_bound(name)
        waiting = [link for link in full.links() if has_status(link, "Pending", "AtCapacity")]
        assert [link["metadata"]["name"] for link in waiting] == names[number + 1 :]
    assert full.links_by_pod() == {0: LIMIT, 1: LIMIT, 2: LIMIT, None: 2}
    full.edit_route(placement={"maxLinksPerPod": LIMIT + 1})
    full.await_all_bound(3 * LIMIT + 2)
    assert max_links_at_a_time(recorder) == LIMIT + 1


def test_message_of_a_waiting_link_names_the_reason_of_each_pod(service: Service) -> None:
    service.start(
        placement={"maxLinksPerPod": 2},
        load={"staleAfterSeconds": 3600},
        pods=[{"index": 2, "routingState": "DenyNewCall"}],
    )
    service.report(0, 1, 1)
    service.report(1, 1, 1, age_seconds=7200)
    service.await_pod(1, loadStale=True)
    for user in ("alice", "bob"):
        service.await_bound(service.link(user, podIndex=0))
    service.await_link(service.link("carol"), "Pending", "AtCapacity")
    full, silent = "at the limit of 2 links (placement.maxLinksPerPod)", "without a load report for more than 3600 s"
    assert condition_of(service.get("game.carol"))["message"] == (
        f"no pod of StatefulRoute 'game' takes new users now: game-0: {full}; game-1: {silent}; "
        "game-2: in the routing state DenyNewCall"
    )
    service.set_on_pod_lost("Keep")
    service.annotate(1, NOT_READY)
    service.await_pod(1, serviceState="NotReady")
    service.annotate(0, SHUT_DOWN)
    service.await_link("game.carol", "Pending", "NoAvailablePod")
    eventually(
        lambda: (
            condition_of(service.get("game.carol"))["message"]
            == (
                "no pod of StatefulRoute 'game' takes new users now: game-0: lost (Shutdown); game-1: not Ready; "
                "game-2: in the routing state DenyNewCall"
            )
        ),
        "the message names the present reasons",
    )


def test_link_that_names_a_full_pod_is_accepted(full: Service) -> None:
    create_waiting_links(full, 1)
    assert full.await_bound(full.link("guest", podIndex=1))["podIndex"] == 1
    assert full.links_by_pod() == {0: LIMIT, 1: LIMIT + 1, 2: LIMIT, None: 1}
    delete_one(full, index=1)
    full.await_status(links=3 * LIMIT)
    delete_one(full, index=0)
    assert full.await_bound("game.waits-0")["podIndex"] == 0
    assert full.links_by_pod() == {0: LIMIT, 1: LIMIT, 2: LIMIT}


def test_link_that_is_moved_away_makes_room(full: Service) -> None:
    names = create_waiting_links(full, 1)
    full.kubectl.patch("podlink", link_on(full, 0), {"spec": {"podIndex": 2}}).expect_success()
    assert full.await_bound(names[0])["podIndex"] == 0


def test_new_pod_makes_room(full: Service) -> None:
    names = create_waiting_links(full, 2)
    full.scale(4)
    assert [full.await_bound(name)["podIndex"] for name in names] == [3, 3]


def test_links_of_a_lost_pod_wait_for_room_on_the_others(full: Service, recorder: LinkRecorder) -> None:
    full.annotate(2, SHUT_DOWN)
    lost = [link["metadata"]["name"] for link in full.links() if link["spec"]["podIndex"] == 2]
    for name in lost:
        full.await_link(name, "Lost", "PodLost")
    delete_one(full, index=0)
    eventually(lambda: full.links_by_pod() == {0: LIMIT, 1: LIMIT, 2: LIMIT - 1}, "one of them has moved")
    assert max_links_at_a_time(recorder) == LIMIT


def test_waiting_link_that_gives_up_leaves_the_room_to_the_next(full: Service) -> None:
    names = create_waiting_links(full, 4)
    full.client.patch(PodLink, names[0], full.namespace, {"spec": {"podIndex": 1}})
    full.client.patch(PodLink, names[1], full.namespace, {"spec": {"ttlSeconds": 1}})
    full.client.delete(PodLink, names[2], full.namespace)
    full.await_deleted(*names[1:3])
    delete_one(full, index=0)
    assert full.await_bound(names[3])["podIndex"] == 0


def test_no_choice_exceeds_the_limit_while_links_are_created_and_deleted_concurrently(
    service: Service, recorder: LinkRecorder
) -> None:
    service.start(placement={"maxLinksPerPod": 20})
    service.client.in_parallel(lambda number: link_and_unlink(service, number), range(160))
    eventually(lambda: service.links_by_pod() == {0: 20, 1: 20, 2: 20, None: 20}, "the pods are full")
    eventually(
        lambda: sum(has_status(link, "Pending", "AtCapacity") for link in service.links()) == 20, "the others wait"
    )
    assert max_links_at_a_time(recorder) == 20


def link_and_unlink(service: Service, number: int) -> None:
    """Creates a link, and deletes every second one at once, whether it is bound or not."""
    name = service.link(f"user-{number}")
    if number % 2:
        service.client.delete(PodLink, name, service.namespace)


def max_links_at_a_time(recorder: LinkRecorder) -> int:
    """Returns the largest number of links that a pod ever carried, from all versions in their order."""
    pods: dict[str, int | None] = {}
    largest = 0
    for version in sorted(chain(*recorder.all_versions().values()), key=lambda version: version.resource_version):
        pods[version.name] = None if version.event == "DELETED" else version.pod
        largest = max(largest, *Counter(index for index in pods.values() if index is not None).values(), 0)
    return largest
