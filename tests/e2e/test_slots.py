"""The links of slots, with a real control plane."""

from collections import Counter

import pytest

from support.independent_client import PodLink, StatefulRoute
from support.link_recorder import LinkRecorder
from support.operator_process import OperatorProcess
from support.service import Service
from support.waiting import eventually

SLOTS = 8


def await_slots(game: Service, *by_pod: int) -> None:
    """Waits until all slots are bound, so many on the pods in ascending order, as the status of the route shows."""
    game.await_all_bound(SLOTS)
    game.await_condition("SlotsBound", "True", "SlotsBound", f"all {SLOTS} slots are bound")
    if by_pod:
        eventually(
            lambda: sorted(pod["slots"] for pod in game.route_status()["pods"]) == [*by_pod],
            f"the pods have {by_pod} slots",
        )


@pytest.mark.usefixtures("own_operator")
def test_slots_are_bound_with_two_writes_restored_and_deleted_with_their_route(
    service: Service, own_operator: OperatorProcess, recorder: LinkRecorder
) -> None:
    service.start(slots=SLOTS)
    await_slots(service, 2, 3, 3)
    service.await_condition("SlotsBalanced", "True")
    names = {f"game.x-slot-{slot}" for slot in range(SLOTS)}
    assert recorder.all_transitions() == {name: ["created", "Bound"] for name in names}
    (owner,) = service.get("game.x-slot-0")["metadata"]["ownerReferences"]
    route = service.route()["metadata"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("StatefulRoute", "game", route["uid"])

    own_operator.restart()
    service.client.delete(PodLink, "game.x-slot-5", service.namespace)
    eventually(lambda: service.exists(PodLink, "game.x-slot-5"), "the deleted link is created again")
    await_slots(service)
    assert recorder.all_transitions() == {
        name: ["created", "Bound"] * (2 if name == "game.x-slot-5" else 1) for name in names
    } | {"game.x-slot-5": ["created", "Bound", "deleted", "created", "Bound"]}

    service.client.delete(StatefulRoute, "game", service.namespace)
    service.await_deleted(*names)


@pytest.mark.usefixtures("operator")
def test_slots_leave_a_drained_pod_and_come_back_when_it_takes_users_again(service: Service) -> None:
    service.start(slots=SLOTS, rebalance={"slotsPerMinute": 6_000})
    await_slots(service, 2, 3, 3)
    service.edit_route(pods=[{"index": 2, "routingState": "DenyNewCall"}])
    await_slots(service, 0, 4, 4)
    service.await_pod(2, slots=0, links=0)
    assert previous(service)["game-2", "Drained"] >= 2
    service.edit_route(pods=None)
    service.await_condition("SlotsBalanced", "True")
    eventually(lambda: "Rebalanced" in {reason for _, reason in previous(service)}, "a slot is moved back")
    await_slots(service)
    assert max(service.links_by_pod().values()) - min(service.links_by_pod().values()) <= 2
    assert {("Normal", "Drained"), ("Normal", "Rebalanced")} < {
        (each["type"], each["reason"]) for each in service.events()
    }


@pytest.mark.usefixtures("operator")
def test_slots_of_a_drained_pod_are_handed_over(service: Service, recorder: LinkRecorder) -> None:
    service.start(2, slots=2, handOver={"timeoutSeconds": 1})
    service.await_all_bound(2)
    (leaving,) = (link["metadata"]["name"] for link in service.links() if link["spec"]["podIndex"] == 1)
    service.edit_route(pods=[{"index": 1, "routingState": "DenyNewCall"}])
    eventually(lambda: service.links_by_pod() == {0: 2}, "the operator moves the slot at the time-out")
    service.await_all_bound(2)
    assert previous(service) == {("game-1", "Drained"): 1}
    assert "HandingOver" in recorder.all_transitions()[leaving]


def previous(game: Service) -> Counter[tuple[str, str]]:
    """Returns how many links have left each pod, and why."""
    moves = (link["status"].get("previous") for link in game.links())
    return Counter((each["podName"], each["reason"]) for each in moves if each is not None)
