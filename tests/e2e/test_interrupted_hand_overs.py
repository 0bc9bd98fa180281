"""The operator is killed or suspended while users are handed over."""

from support.hand_overs import ask, await_handed_over, commit, note_of, patch, start
from support.operator_process import OperatorProcess
from support.service import Service


def test_successor_of_an_operator_goes_on_with_its_hand_overs(own_operator: OperatorProcess, service: Service) -> None:
    start(service, 3, handOver={"timeoutSeconds": 5})
    committed, left = service.link("committed", podIndex=2), service.link("left", podIndex=2)
    service.await_all_bound(2)
    service.edit_route(pods=[{"index": 2, "routingState": "Shutdown"}])
    for link in (committed, left):
        service.await_link(link, "HandingOver", "HandingOver")
    own_operator.kill()
    new_pod = service.get(committed)["spec"]["handOver"]["podIndex"]
    commit(service, committed, new_pod)
    own_operator.start()
    handed_over = {"podIndex": 2, "reason": "HandedOver", "cause": "Shutdown"}
    assert await_handed_over(service, committed, new_pod) == handed_over
    other = service.get(left)["spec"].get("handOver", {"podIndex": 1 - new_pod})["podIndex"]
    assert await_handed_over(service, left, other) == handed_over


def test_hand_over_that_is_committed_before_the_operator_sees_it_is_one(
    own_operator: OperatorProcess, service: Service
) -> None:
    start(service)
    link = service.link("alice", podIndex=0)
    service.await_bound(link)
    own_operator.freeze()
    ask(service, link, 1)
    commit(service, link, 1)
    own_operator.thaw()
    assert await_handed_over(service, link, 1) == {"podIndex": 0, "reason": "HandedOver", "cause": None}


def test_hand_over_ends_if_its_pod_was_replaced_while_no_operator_ran(
    own_operator: OperatorProcess, service: Service
) -> None:
    start(service, 3)
    asked, other = service.link("asked", podIndex=0), service.link("other", podIndex=0)
    late = service.link("late", podIndex=0)
    service.await_all_bound(3)
    ask(service, asked, 1)
    assert service.await_link(asked, "HandingOver", "HandingOver")["handOver"]["podUid"] == service.pod_id(0)
    own_operator.kill()
    service.replace_pod(0)
    ask(service, late, 1)
    own_operator.start()
    assert await_handed_over(service, asked, 1) == {"podIndex": 0, "reason": "HandedOver", "cause": "PodDeleted"}
    kind, note = note_of(service, asked, "HandedOver")
    assert (kind, note.partition(": ")[2]) == ("Warning", "pod 'game-0' is gone: another pod has its name")
    assert "handOver" not in service.get(asked)["status"]
    assert service.await_link(late, "HandingOver", "HandingOver")["handOver"]["podUid"] == service.pod_id(0)
    assert service.await_bound(other)["podIndex"] == 0
    patch(service, late, podIndex=0, handOver=None)
    assert "handOver" not in service.await_bound(late)


def test_hand_over_ends_if_its_pod_was_replaced_while_the_operator_was_suspended(
    own_operator: OperatorProcess, service: Service
) -> None:
    start(service)
    link = service.link("alice", podIndex=0)
    service.await_bound(link)
    ask(service, link, 1)
    service.await_link(link, "HandingOver", "HandingOver")
    own_operator.freeze()
    service.replace_pod(0)
    own_operator.thaw()
    assert await_handed_over(service, link, 1) == {"podIndex": 0, "reason": "HandedOver", "cause": "PodDeleted"}
