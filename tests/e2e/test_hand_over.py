"""Users are handed over: a plain client has the part of the drivers, and the operator that of all others."""

import pytest

from support.hand_overs import SHORT, ask, await_handed_over, commit, note_of, patch, start
from support.link_recorder import LinkRecorder
from support.service import Service


@pytest.mark.usefixtures("operator")
class TestOperatorRuns:
    """The operator runs all the time."""

    def test_drained_pod_serves_its_users_until_its_driver_has_handed_them_over(
        self, service: Service, recorder: LinkRecorder
    ) -> None:
        start(service)
        link = service.link("alice", podIndex=1)
        service.await_bound(link)
        service.edit_route(pods=[{"index": 1, "routingState": "Shutdown"}])
        status = service.await_link(link, "HandingOver", "HandingOver")
        assert (status["podIndex"], status["host"]) == (1, "game-1.game." + service.namespace + ".svc")
        assert service.get(link)["spec"]["podIndex"] == 1
        assert service.get(link)["spec"]["handOver"]["podIndex"] == 0
        service.await_pod(1, routingState="DenyNewCall", handingOver=True, notServingReason=None)
        service.await_status(unservedLinks=0)
        commit(service, link, 0)
        assert await_handed_over(service, link, 0) == {"podIndex": 1, "reason": "HandedOver", "cause": "Shutdown"}
        assert note_of(service, link, "HandedOver") == (
            "Normal",
            "handed over from pod 'game-1' to pod 'game-0': Shutdown",
        )
        assert [pod for pod in recorder.all_pods()[link] if pod is not None] == [1, 0]
        service.edit_route(pods=None)
        service.await_pod(1, routingState="Ready", handingOver=None)

    def test_operator_moves_users_whose_pod_takes_no_part_after_the_time_out(self, service: Service) -> None:
        start(service, handOver=SHORT)
        asked, drained = service.link("asked", podIndex=0), service.link("drained", podIndex=1)
        service.await_all_bound(2)
        ask(service, asked, 1)
        assert await_handed_over(service, asked, 1) == {"podIndex": 0, "reason": "HandedOver", "cause": None}
        kind, note = note_of(service, asked, "HandedOver")
        assert (kind, note.partition(": ")[2]) == ("Warning", "pod 'game-0' has not handed the user over within 1 s")
        service.edit_route(pods=[{"index": 1, "routingState": "Shutdown"}])
        assert await_handed_over(service, drained, 0)["cause"] == "Shutdown"

    def test_hand_over_ends_when_a_client_removes_it_or_the_new_pod_is_gone(self, service: Service) -> None:
        start(service, 3)
        cancelled, withdrawn = service.link("alice", podIndex=0), service.link("bob", podIndex=0)
        service.await_all_bound(2)
        for link in (cancelled, withdrawn):
            ask(service, link, 2)
            service.await_link(link, "HandingOver", "HandingOver")
        patch(service, cancelled, podIndex=0, handOver=None)
        assert service.await_bound(cancelled)["podIndex"] == 0
        service.scale(2)
        assert service.await_bound(withdrawn)["podIndex"] == 0
        assert note_of(service, withdrawn, "HandOverWithdrawn")[0] == "Normal"
        assert not any("handOver" in service.get(link)["spec"] for link in (cancelled, withdrawn))

    def test_old_pod_that_dies_moves_its_users_at_once(self, service: Service) -> None:
        start(service, 3)
        link = service.link("alice", podIndex=2)
        service.await_bound(link)
        ask(service, link, 1)
        service.await_link(link, "HandingOver", "HandingOver")
        service.scale(2)
        assert await_handed_over(service, link, 1)["cause"] == "ScaledDown"

    def test_closing_pod_hands_its_users_over_at_the_deadline_and_is_removed(self, service: Service) -> None:
        start(service, replicas=2, disruption={"deadlineSeconds": 1}, statePeriodSeconds=1)
        link = service.link("alice", podIndex=1)
        service.await_bound(link)
        service.scale_route(1)
        service.await_link(link, "HandingOver", "HandingOver")
        service.await_pod(1, routingState="DenyNewCall", handingOver=True)
        commit(service, link, 0)
        assert await_handed_over(service, link, 0)["cause"] == "DeadlineOver"
        service.await_condition("Scaled", "True", "Scaled", "the StatefulSet has 1 pod as desired")

    def test_without_hand_over_links_move_as_before(self, service: Service, recorder: LinkRecorder) -> None:
        start(service, handOver=None)
        asked, drained = service.link("asked", podIndex=0), service.link("drained", podIndex=1)
        service.await_all_bound(2)
        service.edit_route(pods=[{"index": 1, "routingState": "Shutdown"}])
        assert service.await_moved(drained, previous_pod=1)["previous"]["reason"] == "PodLost"
        assert recorder.all_transitions()[drained] == ["created", "Bound", "Bound", "Bound"]
        service.edit_route(pods=None)
        service.await_pod(1, routingState="Ready")
        ask(service, asked, 1)
        assert await_handed_over(service, asked, 1)["podIndex"] == 0
