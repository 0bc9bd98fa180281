"""A pod carries no more links than its route allows, unless somebody puts them there by name."""

from collections import Counter
from itertools import chain

import pytest

from support.independent_client import PodLink
from support.link_recorder import LinkRecorder
from support.service import SHUT_DOWN, Service, condition_of, has_status
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")

LIMIT = 5


@pytest.fixture
def full(service: Service) -> Service:
    """A service whose three pods carry as many links as they may, `user-0` to `user-14`."""
    service.start(placement={"maxLinksPerPod": LIMIT})
    service.link_all(f"user-{number}" for number in range(3 * LIMIT))
    service.await_all_bound(3 * LIMIT)
    assert service.links_by_pod() == {0: LIMIT, 1: LIMIT, 2: LIMIT}
    return service


def create_waiting_links(service: Service, number: int) -> list[str]:
    """Links that come too late, in the order of their coming."""
    names = [service.link(f"waits-{each}") for each in range(number)]
    for name in names:
        service.await_link(name, "Pending", "AtCapacity")
    return names


def one_on(service: Service, index: int) -> str:
    """The name of a link that is bound to the pod of this index."""
    return next(link["metadata"]["name"] for link in service.links() if link["spec"].get("podIndex") == index)


def one_leaves(service: Service, index: int) -> None:
    """Somebody on the pod of this index is there no more."""
    service.client.delete(PodLink, one_on(service, index), service.namespace)


def test_who_comes_when_all_pods_are_full_waits_and_the_first_to_come_is_the_first_to_go_in(
    full: Service, recorder: LinkRecorder
) -> None:
    names = create_waiting_links(full, 5)
    assert condition_of(full.get(names[0]))["message"] == (
        f"every available pod of StatefulRoute 'game' carries {LIMIT} links"
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
    assert most_at_a_time(recorder) == LIMIT + 1


def test_a_link_that_is_put_on_a_full_pod_by_name_is_accepted(full: Service) -> None:
    create_waiting_links(full, 1)
    assert full.await_bound(full.link("guest", podIndex=1))["podIndex"] == 1
    assert full.links_by_pod() == {0: LIMIT, 1: LIMIT + 1, 2: LIMIT, None: 1}
    one_leaves(full, index=1)
    full.await_status(links=3 * LIMIT)
    one_leaves(full, index=0)
    assert full.await_bound("game.waits-0")["podIndex"] == 0
    assert full.links_by_pod() == {0: LIMIT, 1: LIMIT, 2: LIMIT}


def test_a_link_that_is_moved_away_makes_room(full: Service) -> None:
    names = create_waiting_links(full, 1)
    full.kubectl.patch("podlink", one_on(full, 0), {"spec": {"podIndex": 2}}).expect_success()
    assert full.await_bound(names[0])["podIndex"] == 0


def test_another_pod_makes_room(full: Service) -> None:
    names = create_waiting_links(full, 2)
    full.scale(4)
    assert [full.await_bound(name)["podIndex"] for name in names] == [3, 3]


def test_the_links_of_a_lost_pod_wait_for_room_on_the_others(full: Service, recorder: LinkRecorder) -> None:
    full.annotate(2, SHUT_DOWN)
    lost = [link["metadata"]["name"] for link in full.links() if link["spec"]["podIndex"] == 2]
    for name in lost:
        full.await_link(name, "Lost", "PodLost")
    one_leaves(full, index=0)
    eventually(lambda: full.links_by_pod() == {0: LIMIT, 1: LIMIT, 2: LIMIT - 1}, "one of them has moved")
    assert most_at_a_time(recorder) == LIMIT


def test_one_who_waits_and_gives_up_does_not_waste_the_room(full: Service) -> None:
    names = create_waiting_links(full, 4)
    full.client.patch(PodLink, names[0], full.namespace, {"spec": {"podIndex": 1}})
    full.client.patch(PodLink, names[1], full.namespace, {"spec": {"ttlSeconds": 1}})
    full.client.delete(PodLink, names[2], full.namespace)
    full.await_deleted(*names[1:3])
    one_leaves(full, index=0)
    assert full.await_bound(names[3])["podIndex"] == 0


def test_however_many_come_and_go_at_the_same_time_no_choice_exceeds_the_limit(
    service: Service, recorder: LinkRecorder
) -> None:
    service.start(placement={"maxLinksPerPod": 20})
    service.client.in_parallel(lambda number: link_and_unlink(service, number), range(160))
    eventually(lambda: service.links_by_pod() == {0: 20, 1: 20, 2: 20, None: 20}, "the pods are full")
    eventually(
        lambda: sum(has_status(link, "Pending", "AtCapacity") for link in service.links()) == 20, "the others wait"
    )
    assert most_at_a_time(recorder) == 20


def link_and_unlink(service: Service, number: int) -> None:
    """A user comes; of every second, the link is deleted at once, whether it was bound or not."""
    name = service.link(f"user-{number}")
    if number % 2:
        service.client.delete(PodLink, name, service.namespace)


def most_at_a_time(recorder: LinkRecorder) -> int:
    """The most links that a pod has ever carried, by the record of all versions in their order."""
    at: dict[str, int | None] = {}
    most = 0
    for version in sorted(chain(*recorder.all_versions().values()), key=lambda version: version.resource_version):
        at[version.name] = None if version.event == "DELETED" else version.pod
        most = max(most, *Counter(index for index in at.values() if index is not None).values(), 0)
    return most
