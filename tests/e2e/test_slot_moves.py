"""How many slots move when pods come and go, and how fast, with a real control plane."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

import pytest

from support.kubectl import Kubectl
from support.link_recorder import LinkRecorder
from support.operator_process import OperatorProcess, OperatorSlot
from support.service import Service
from support.waiting import eventually


@pytest.fixture
def slow_mover(installed: Kubectl, operator_slot: OperatorSlot) -> Iterator[OperatorProcess]:
    """An operator that moves few links in a second."""
    del installed
    with operator_slot.acquire(None, "--moves-per-second", "20") as process:
        yield process.start()


@pytest.mark.usefixtures("slow_mover")
def test_pods_that_come_and_go_move_no_more_slots_than_they_must(service: Service, recorder: LinkRecorder) -> None:
    number = 110
    service.start(10, slots=number, rebalance={"slotsPerMinute": 6_000}, onPodLost={"graceSeconds": 3600})
    service.await_all_bound(number)
    assert service.links_by_pod() == dict.fromkeys(range(10), 11)

    start = recorder.all_pods()
    service.scale(11)
    service.await_pods(11)
    eventually(lambda: service.links_by_pod().get(10, 0) >= 9, "the new pod has its share")
    service.await_condition("SlotsBalanced", "True")
    service.await_all_bound(number)
    eleven = recorder.all_pods()
    moved = moves_since(start, eleven)
    assert 9 <= len(moved) <= number / 11 + 1
    assert {pods[-1] for pods in moved} == {10}

    service.scale(10)
    eventually(lambda: 10 not in service.links_by_pod(), "the slots leave the pod that goes")
    service.await_condition("SlotsBalanced", "True")
    service.await_all_bound(number)
    gone = moves_since(eleven, recorder.all_pods())
    assert {pods[0] for pods in gone} == {10}
    assert len(gone) == len(moved)

    service.scale(4)
    eventually(lambda: {*service.links_by_pod()} == {0, 1, 2, 3}, "the slots leave the lost pods")
    service.await_all_bound(number)
    times = Counter(
        link["status"]["previous"]["time"]
        for link in service.links()
        if link["status"].get("previous", {}).get("podIndex", 0) in range(4, 10)
    )
    first, last = (datetime.fromisoformat(time) for time in (min(times), max(times)))
    assert times.total() >= 60
    assert max(times.values()) <= 40
    assert last - first >= timedelta(seconds=2)


def moves_since(
    before: Mapping[str, list[int | None]], after: Mapping[str, list[int | None]]
) -> list[list[int | None]]:
    """Returns the pods of each link that has moved since: the one before and those after."""
    return [pods[len(before[name]) - 1 :] for name, pods in after.items() if len(pods) > len(before[name])]
