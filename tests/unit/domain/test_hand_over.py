"""Hand-overs of links: when they start, how they end, and what the status says meanwhile."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.api.vocabulary import (
    ClosingReason,
    LinkPhase,
    LinkReason,
    LossCause,
    RouteReason,
    RoutingState,
    ServiceState,
)
from statefulroute.domain.closing import Closing
from statefulroute.domain.decision import (
    LinkView,
    Move,
    Plan,
    UpdateStatus,
    decide,
    is_waiting_for_room,
    move_cause,
)
from statefulroute.domain.explanation import hash_facts
from statefulroute.domain.hand_over import (
    CommitHandOver,
    EndHandOver,
    HandOverResult,
    StartHandOver,
    has_moved_as_asked,
    is_cancelled,
)
from statefulroute.domain.link import HandOver, Link, LinkStatus, ObservedHandOver
from statefulroute.domain.loss import find_absence
from statefulroute.domain.pacing import needs_turn
from statefulroute.domain.pod import Node, Pod
from statefulroute.domain.pod_views import PodRules
from statefulroute.domain.route import LossSuspension, PodLoss, RouteView
from unit.domain.builders import NOON, link, load, pod, route, view, workload

STARTED = "2026-01-01T12:00:00Z"
TO_1 = HandOver(1, STARTED)
BOUND_TO_0 = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-0'", 0, "game-0", "game-0.game.play.svc")
HANDING_OVER = LinkStatus(
    LinkPhase.HANDING_OVER,
    LinkReason.HANDING_OVER,
    "pod 'game-0' hands the user over to pod 'game-1'",
    0,
    "game-0",
    "game-0.game.play.svc",
    hash_facts((1,)),
    ObservedHandOver("", STARTED),
)
HANDS_OVER = {"handOver": {"timeoutSeconds": 7}, "onPodLost": {"action": "Rebind"}}
DRAINED = {**HANDS_OVER, "pods": [{"index": 0, "routingState": "Shutdown"}]}
LOST = {0: PodLoss(LossCause.POD_FAILED, "has failed", is_grace_over=True)}


def handed_over(pod: int = 0, **fields: Any) -> Link:
    return link(pod, **{"hand_over": TO_1, "status": HANDING_OVER, **fields})


def plan_of(tested: Link, route_view: RouteView, *, is_due: bool = False) -> Plan:
    return decide(LinkView(tested, route_view, NOON, is_due))


def settled(*pods: Pod, spec: dict[str, Any] | None = None, **fields: Any) -> RouteView:
    return view(*(pods or (pod(0), pod(1))), route=route(**(HANDS_OVER if spec is None else spec)), **fields)


def test_link_that_is_handed_over_is_bound_to_its_pod() -> None:
    assert plan_of(handed_over(), settled()) == UpdateStatus(HANDING_OVER)
    assert HANDING_OVER.is_ready


def test_pod_hands_the_user_over_while_it_is_not_ready_too() -> None:
    assert plan_of(handed_over(), settled(pod(0, ServiceState.NOT_READY), pod(1))) == UpdateStatus(HANDING_OVER)


def test_user_of_a_pod_whose_node_is_lost_stays_until_the_time_is_over_or_the_pod_is_lost() -> None:
    nodes = {"a": Node(name="a", resource_version=1, is_ready=False)}
    old = pod(0, ServiceState.NOT_READY, node_name="a")
    assert plan_of(handed_over(), settled(old, pod(1), nodes=nodes)) == UpdateStatus(HANDING_OVER)
    lost = {0: PodLoss(LossCause.NODE_NOT_READY, "has been gone", is_grace_over=True)}
    plan = plan_of(handed_over(), settled(old, pod(1), nodes=nodes, lost=lost))
    assert isinstance(plan, CommitHandOver)
    assert (plan.cause, plan.outcome.result) == (LossCause.NODE_NOT_READY, HandOverResult.POD_GONE)


def test_operator_moves_the_link_when_the_time_is_over() -> None:
    plan = plan_of(handed_over(), settled(), is_due=True)
    assert isinstance(plan, CommitHandOver)
    assert (plan.pod, plan.cause, plan.outcome.result) == (1, None, HandOverResult.TIMED_OUT)
    assert plan.outcome.explanation == "pod 'game-0' has not handed the user over within 7 s"


def test_link_of_a_route_without_hand_over_moves_at_once() -> None:
    plan = plan_of(handed_over(), settled(spec={}))
    assert isinstance(plan, CommitHandOver)
    assert (plan.pod, plan.outcome.result) == (1, HandOverResult.NOT_CONFIGURED)


def test_commit_by_a_client_that_does_not_know_hand_overs_is_completed() -> None:
    assert plan_of(handed_over(1), settled()) == EndHandOver(None)


def test_hand_over_is_withdrawn_if_a_client_moves_the_link_elsewhere() -> None:
    plan = plan_of(handed_over(2), settled(pod(0), pod(1), pod(2)))
    assert plan == EndHandOver("a client moved the link to pod 'game-2'")


@pytest.mark.parametrize("state", [ServiceState.FAILED, ServiceState.TERMINATING])
def test_user_of_a_pod_that_has_ended_moves_at_once(state: ServiceState) -> None:
    plan = plan_of(handed_over(), settled(pod(0, state, is_ready=False), pod(1)))
    assert isinstance(plan, CommitHandOver)
    assert (plan.pod, plan.outcome.result) == (1, HandOverResult.POD_GONE)


def test_user_of_a_terminating_pod_that_is_ready_is_handed_over() -> None:
    terminating = pod(0, ServiceState.TERMINATING, is_ready=True)
    assert plan_of(handed_over(), settled(terminating, pod(1))) == UpdateStatus(HANDING_OVER)


@pytest.mark.parametrize("action", ["Rebind", "Release", "Keep"])
def test_user_of_a_lost_pod_moves_to_the_pod_that_was_asked_for(action: str) -> None:
    spec = {"handOver": {}, "onPodLost": {"action": action}}
    plan = plan_of(handed_over(), settled(pod(1), pod(2), spec=spec, lost=LOST))
    assert isinstance(plan, CommitHandOver)
    assert (plan.pod, plan.cause) == (1, LossCause.POD_FAILED)


def test_user_of_a_lost_pod_moves_to_another_pod_if_the_new_one_is_gone() -> None:
    plan = plan_of(handed_over(), settled(pod(2), lost=LOST))
    assert isinstance(plan, CommitHandOver)
    assert plan.pod == 2
    no_room = plan_of(handed_over(), settled(pod(2, ServiceState.NOT_READY), lost=LOST))
    assert no_room == EndHandOver("pod 'game-1' does not exist")
    without = plan_of(handed_over(hand_over=None), settled(pod(2, ServiceState.NOT_READY), lost=LOST))
    assert isinstance(without, UpdateStatus)
    assert without.status.phase is LinkPhase.LOST


@pytest.mark.parametrize(
    ("new_pod", "problem"),
    [
        pytest.param(None, "pod 'game-1' does not exist", id="missing"),
        pytest.param(pod(1, ServiceState.NOT_READY), "pod 'game-1' is not Ready", id="not ready"),
        pytest.param(pod(1, reported_routing_state=RoutingState.SHUTDOWN), "pod 'game-1' is shut down", id="shut down"),
        pytest.param(
            pod(1, ServiceState.TERMINATING, is_ready=True), "pod 'game-1' is ending or lost", id="terminating"
        ),
    ],
)
def test_hand_over_to_a_pod_that_takes_no_users_is_withdrawn(new_pod: Pod | None, problem: str) -> None:
    pods = (pod(0), pod(2)) if new_pod is None else (pod(0), new_pod, pod(2))
    assert plan_of(handed_over(), settled(*pods)) == EndHandOver(problem)
    drained = plan_of(handed_over(), settled(*pods, spec=DRAINED))
    assert drained == StartHandOver(HandOver(2, STARTED))  # its users have to leave


def test_hand_over_to_a_closing_pod_is_withdrawn() -> None:
    closing = {1: Closing(ClosingReason.ROLLOUT, NOON, NOON + timedelta(hours=1))}
    assert plan_of(handed_over(), settled(closing=closing)) == EndHandOver("pod 'game-1' is closing")


def test_client_may_choose_a_pod_that_is_full_or_denies_new_users() -> None:
    denying = pod(1, reported_routing_state=RoutingState.DENY_NEW_CALL)
    assert plan_of(handed_over(), settled(pod(0), denying)) == UpdateStatus(HANDING_OVER)
    full = settled(spec={**HANDS_OVER, "placement": {"maxLinksPerPod": 1}}, link_counts={1: 1})
    assert plan_of(handed_over(), full) == UpdateStatus(HANDING_OVER)


def test_slot_is_handed_over_to_another_pod_if_the_new_one_takes_no_new_users_meanwhile() -> None:
    slot = handed_over(name="game.x-slot-7")
    denying = pod(1, reported_routing_state=RoutingState.DENY_NEW_CALL)
    drained = pod(0, reported_routing_state=RoutingState.DENY_NEW_CALL)
    spec = {**HANDS_OVER, "slots": 8}
    plan = plan_of(slot, settled(drained, denying, pod(2), spec=spec))
    assert plan == StartHandOver(HandOver(2, "2026-01-01T12:00:00Z"))
    assert plan_of(slot, settled(pod(0), denying, spec=spec)) == EndHandOver("pod 'game-1' takes no new users")
    assert plan_of(slot, settled(drained, denying, spec=spec)) == UpdateStatus(HANDING_OVER)


@pytest.mark.parametrize("is_due", [True, False])
@pytest.mark.parametrize("withheld", [0, 1])
def test_no_link_moves_while_a_loss_is_withheld(withheld: int, *, is_due: bool) -> None:
    losses = {withheld: PodLoss(LossCause.NODE_NOT_READY, "is gone", is_grace_over=True)}
    pods = (pod(1),) if withheld == 0 else (pod(0),)
    route_view = settled(*pods, withheld_losses=losses)
    assert plan_of(handed_over(), route_view, is_due=is_due) == UpdateStatus(HANDING_OVER)


def test_user_of_a_missing_pod_stays_while_losses_are_suspended() -> None:
    suspension = LossSuspension(RouteReason.PODS_LOST, 3, 4, 50)
    assert plan_of(handed_over(), settled(pod(1), loss_suspension=suspension)) == UpdateStatus(HANDING_OVER)


def test_nothing_is_decided_while_the_workload_is_missing() -> None:
    route_view = view(route=route(**HANDS_OVER), workload=None)
    assert plan_of(handed_over(), route_view, is_due=True) == UpdateStatus(HANDING_OVER)


def test_users_of_a_pod_that_the_route_shuts_down_are_handed_over() -> None:
    route_view = settled(spec=DRAINED)
    plan = plan_of(link(0, status=BOUND_TO_0), route_view)
    assert plan == StartHandOver(HandOver(1, STARTED))
    assert needs_turn(link(0), plan)
    assert (route_view.pods[0].routing_state, route_view.pods[0].is_handing_over) == (RoutingState.DENY_NEW_CALL, True)
    assert find_absence(route_view, 0) is None


def test_link_that_is_not_acknowledged_yet_is_bound_before_it_is_handed_over() -> None:
    plan = plan_of(link(0), settled(spec=DRAINED))
    assert isinstance(plan, UpdateStatus)
    assert plan.status.phase is LinkPhase.BOUND
    assert is_waiting_for_room(settled(spec=DRAINED), plan.status)


def test_users_stay_bound_and_wait_while_no_other_pod_has_room() -> None:
    route_view = settled(pod(0), pod(1, ServiceState.NOT_READY), spec=DRAINED)
    assert plan_of(link(0, status=BOUND_TO_0), route_view) == UpdateStatus(BOUND_TO_0)
    assert is_waiting_for_room(route_view, BOUND_TO_0)
    assert not is_waiting_for_room(settled(), BOUND_TO_0)


def test_hand_over_from_a_pod_that_is_emptied_is_withdrawn_while_no_other_pod_has_room() -> None:
    route_view = settled(pod(0), pod(1, ServiceState.NOT_READY), spec=DRAINED)
    assert plan_of(handed_over(), route_view) == EndHandOver("pod 'game-1' is not Ready")


@pytest.mark.parametrize(
    ("spec", "tested", "node"),
    [
        pytest.param({**DRAINED, "handOver": None}, pod(0), None, id="no handOver"),
        pytest.param({**DRAINED, "onPodLost": {"action": "Keep"}}, pod(0), None, id="links stay"),
        pytest.param({**DRAINED, "routingState": "Shutdown"}, pod(0), None, id="the whole route is shut down"),
        pytest.param(DRAINED, pod(0, reported_routing_state=RoutingState.SHUTDOWN), None, id="the pod says it, too"),
        pytest.param(DRAINED, pod(0, ServiceState.NOT_READY), None, id="not ready"),
        pytest.param(
            DRAINED, pod(0, node_name="a"), Node(name="a", resource_version=1, is_ready=False), id="on a lost node"
        ),
    ],
)
def test_other_pods_that_are_shut_down_are_lost_at_once(spec: dict[str, Any], tested: Pod, node: Node | None) -> None:
    pod_view = PodRules(route(**spec), workload()).view(tested, node, None)
    assert (pod_view.routing_state, pod_view.is_handing_over) == (RoutingState.SHUTDOWN, False)


def test_pod_whose_server_polls_shutdown_does_not_hand_over() -> None:
    reported = load(routing_state=RoutingState.SHUTDOWN)
    assert not PodRules(route(**DRAINED), workload()).view(pod(0), None, reported).is_handing_over


@pytest.mark.parametrize("is_over", [True, False])
def test_closing_pod_hands_over_after_its_deadline(*, is_over: bool) -> None:
    closing = Closing(ClosingReason.SCALE_DOWN, NOON, NOON, is_over=is_over)
    pod_view = PodRules(route(**HANDS_OVER), workload()).view(pod(0), None, None, closing)
    assert (pod_view.routing_state, pod_view.is_handing_over) == (RoutingState.DENY_NEW_CALL, is_over)


@pytest.mark.parametrize(
    ("closing", "cause"),
    [
        ({}, LossCause.SHUTDOWN),
        ({0: Closing(ClosingReason.SCALE_DOWN, NOON, NOON, is_over=True)}, LossCause.DEADLINE_OVER),
    ],
)
def test_move_of_a_user_who_was_handed_over_has_the_cause(closing: dict[int, Closing], cause: LossCause) -> None:
    route_view = replace(settled(spec=DRAINED), closing={**closing})
    moved = link(1, status=HANDING_OVER)
    assert move_cause(LinkView(moved, route_view, NOON), is_handed_over=has_moved_as_asked(moved)) is cause
    due = plan_of(handed_over(), route_view, is_due=True)
    assert isinstance(due, CommitHandOver)
    assert due.cause is cause
    moved_by_client = link(1, status=BOUND_TO_0)
    assert move_cause(LinkView(moved_by_client, route_view, NOON)) is None


def test_link_has_moved_as_asked_if_it_names_the_pod_of_its_last_hand_over() -> None:
    assert has_moved_as_asked(link(1, status=HANDING_OVER))
    assert not has_moved_as_asked(link(2, status=HANDING_OVER))
    assert not has_moved_as_asked(link(0, status=HANDING_OVER))
    assert not has_moved_as_asked(link(1, status=BOUND_TO_0))


@pytest.mark.parametrize("status", [BOUND_TO_0, HANDING_OVER])
def test_user_who_was_handed_over_to_a_pod_that_is_lost_meanwhile_does_not_wait_for_it(status: LinkStatus) -> None:
    shut_down = {1: PodLoss(LossCause.SHUTDOWN, "is shut down", is_grace_over=False)}
    route_view = settled(pod(0), pod(1, reported_routing_state=RoutingState.SHUTDOWN), pod(2), lost=shut_down)
    plan = plan_of(link(1, status=status), route_view)
    assert isinstance(plan, Move) == (status is HANDING_OVER)


def test_cancelled_hand_over_leaves_the_link_with_its_pod() -> None:
    cancelled = link(0, status=HANDING_OVER)
    assert is_cancelled(cancelled)
    assert not is_cancelled(handed_over())
    assert plan_of(cancelled, settled()) == UpdateStatus(BOUND_TO_0)
    assert plan_of(cancelled, settled(pod(1))) == UpdateStatus(BOUND_TO_0)  # the pod restarts


PODS = st.sampled_from(
    [
        ServiceState.READY,
        ServiceState.NOT_READY,
        ServiceState.TERMINATING,
        ServiceState.FAILED,
        ServiceState.PENDING,
    ]
)


@given(
    st.lists(st.tuples(PODS, st.booleans(), st.sampled_from(list(RoutingState))), min_size=3, max_size=3),
    st.sampled_from([HANDS_OVER, DRAINED, {}, {**HANDS_OVER, "placement": {"maxLinksPerPod": 1}}]),
    st.sampled_from([None, BOUND_TO_0, HANDING_OVER]),
    st.sets(st.integers(0, 2)),
    st.booleans(),
)
def test_a_started_hand_over_is_not_ended_by_the_next_decision(
    pods: list[tuple[ServiceState, bool, RoutingState]],
    spec: dict[str, Any],
    status: LinkStatus | None,
    closing: set[int],
    is_due: bool,
) -> None:
    deadlines = {key: Closing(ClosingReason.SCALE_DOWN, NOON, NOON + timedelta(hours=1)) for key in closing}
    built = [
        PodRules(route(**spec), workload()).view(
            pod(index, state, reported, is_ready=is_ready and state is not ServiceState.FAILED),
            None,
            None,
            deadlines.get(index),
        )
        for index, (state, is_ready, reported) in enumerate(pods)
    ]
    route_view = view(route=route(**spec))
    route_view = replace(route_view, pods={each.key: each for each in built}, closing={**deadlines})
    tested = link(0, hand_over=TO_1, status=status)
    started = 0
    for _ in range(4):  # at most: withdrawn, started, moved, acknowledged
        plan = plan_of(tested, route_view, is_due=is_due)
        match plan:
            case StartHandOver(hand_over):
                assert route_view.pods[0].is_handing_over
                tested, started = link(0, hand_over=hand_over, status=status), started + 1
                is_due = False
            case CommitHandOver(new_pod) | Move(new_pod):
                tested = link(new_pod, status=status)
            case EndHandOver():
                tested = link(tested.pod, status=status)
            case _:
                break
    assert isinstance(plan, UpdateStatus)
    assert started <= 1


ASKED_A = msgspec.structs.replace(HANDING_OVER, hand_over=ObservedHandOver("a", STARTED))
AT_NOON = int(NOON.timestamp())


def named_0(uid: str, age: int = -1, state: ServiceState = ServiceState.READY) -> Pod:
    """Returns a pod of the name game-0 that is some seconds older than the hand-over."""
    return pod(0, state, uid=uid, creation_timestamp=AT_NOON - age)


def test_status_keeps_which_pod_was_asked() -> None:
    assert plan_of(handed_over(status=BOUND_TO_0), settled(named_0("a", 60), pod(1))) == UpdateStatus(ASKED_A)
    assert plan_of(handed_over(status=ASKED_A), settled(named_0("a", 60), pod(1))) == UpdateStatus(ASKED_A)


@pytest.mark.parametrize("state", [ServiceState.READY, ServiceState.NOT_READY, ServiceState.PENDING])
def test_user_of_a_pod_that_was_replaced_under_its_name_moves_at_once(state: ServiceState) -> None:
    plan = plan_of(handed_over(status=ASKED_A), settled(named_0("b", state=state), pod(1)))
    assert isinstance(plan, CommitHandOver)
    assert (plan.pod, plan.cause, plan.outcome.result) == (1, LossCause.POD_DELETED, HandOverResult.POD_GONE)
    assert plan.outcome.explanation == "pod 'game-0' is gone: another pod has its name"


def test_replaced_pod_counts_as_gone_while_losses_are_suspended() -> None:
    suspension = LossSuspension(RouteReason.PODS_LOST, 3, 4, 50)
    plan = plan_of(handed_over(status=ASKED_A), settled(named_0("b"), pod(1), loss_suspension=suspension))
    assert isinstance(plan, CommitHandOver)


def test_user_whose_pod_was_replaced_stays_under_its_name_if_the_new_pod_takes_no_users() -> None:
    pods = (named_0("b"), pod(1, ServiceState.NOT_READY), pod(2))
    assert plan_of(handed_over(status=ASKED_A), settled(*pods)) == EndHandOver("pod 'game-1' is not Ready")
    drained = plan_of(handed_over(status=ASKED_A), settled(*pods, spec=DRAINED))
    assert drained == StartHandOver(HandOver(2, STARTED))
    gone = {1: PodLoss(LossCause.NODE_NOT_READY, "is gone", is_grace_over=True)}
    withheld = plan_of(handed_over(status=ASKED_A), settled(named_0("b"), pod(1), withheld_losses=gone), is_due=True)
    assert withheld == UpdateStatus(ASKED_A)


@pytest.mark.parametrize(
    ("status", "asked", "present"),
    [
        pytest.param(BOUND_TO_0, TO_1, named_0("b"), id="nothing is known of the pod that was asked"),
        pytest.param(ASKED_A, HandOver(1, "2026-01-01T12:00:01Z"), named_0("b", -9), id="another hand-over"),
        pytest.param(ASKED_A, HandOver(2, STARTED), named_0("b"), id="a hand-over to another pod"),
        pytest.param(ASKED_A, TO_1, named_0("b", 0), id="the pod may have been asked"),
        pytest.param(ASKED_A, TO_1, named_0("b", 60), id="the operator saw the hand-over before the pod"),
    ],
)
def test_pod_that_may_have_been_asked_is_waited_for(status: LinkStatus, asked: HandOver, present: Pod) -> None:
    tested, route_view = handed_over(hand_over=asked, status=status), settled(present, pod(1), pod(2))
    plan = plan_of(tested, route_view)
    assert isinstance(plan, UpdateStatus)
    assert plan.status.phase is LinkPhase.HANDING_OVER
    due = plan_of(tested, route_view, is_due=True)
    assert isinstance(due, CommitHandOver)
    assert due.outcome.result is HandOverResult.TIMED_OUT


def test_hand_over_with_an_unreadable_time_waits_for_its_time_out() -> None:
    status = msgspec.structs.replace(HANDING_OVER, hand_over=ObservedHandOver("a", "now"))
    tested = handed_over(hand_over=HandOver(1, "now"), status=status)
    assert plan_of(tested, settled(named_0("b"), pod(1))) == UpdateStatus(status)


def test_user_who_is_not_handed_over_stays_with_a_pod_that_was_replaced() -> None:
    assert plan_of(link(0, status=BOUND_TO_0), settled(named_0("b"), pod(1))) == UpdateStatus(BOUND_TO_0)


@given(
    st.lists(st.sampled_from(["ask", "replace", "look", "look at an old cache"]), max_size=12),
    st.sampled_from([0, 1, 3600]),
)
def test_only_a_pod_that_was_asked_and_is_replaced_counts_as_gone(steps: list[str], seconds_ahead: int) -> None:
    """The clock of the client may be ahead; then the hand-over waits for its time-out."""
    present = before = named_0("first", 3600)
    tested, asked_uid, seen_uid = link(0, status=BOUND_TO_0), None, None
    for second, step in enumerate(steps):
        match step:
            case "ask":
                time = NOON + timedelta(seconds=second + seconds_ahead)
                tested = link(0, hand_over=HandOver(1, time.isoformat()), status=tested.status)
                asked_uid, seen_uid = present.uid, None
            case "replace":
                present, before = named_0(str(second), -second), present
            case _:
                seen = present if step == "look" else before
                plan = plan_of(tested, settled(seen, pod(1)))
                is_gone = asked_uid is not None and seen_uid == asked_uid != seen.uid and seen is present
                if isinstance(plan, CommitHandOver):
                    assert plan.outcome.result is HandOverResult.POD_GONE
                    assert asked_uid != present.uid
                    return
                assert not (is_gone and not seconds_ahead)
                assert isinstance(plan, UpdateStatus)
                tested = msgspec.structs.replace(tested, status=plan.status)
                seen_uid = seen_uid or seen.uid
