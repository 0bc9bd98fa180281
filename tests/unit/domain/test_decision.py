import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.api.vocabulary import LinkPhase, LinkReason, RoutingState, ServiceState
from statefulroute.domain.decision import Acknowledge, Bind, View, decide, is_settled
from statefulroute.domain.link import Acknowledgement, Link
from statefulroute.domain.route import RouteView
from unit.domain.builders import NOON, link, pod, route, view, workload

BOUND_TO_2 = Acknowledgement(
    LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-2'", 2, "game-2", "game-2.game.play.svc"
)


def said(one: Link, of: RouteView | None) -> Acknowledgement:
    plan = decide(View(one, of))
    assert isinstance(plan, Acknowledge)
    return plan.acknowledgement


def test_a_link_to_a_ready_pod_is_bound_to_it() -> None:
    assert said(link(2), view(pod(0), pod(2))) == BOUND_TO_2


def test_pod_0_is_a_pod_and_not_none() -> None:
    assert said(link(0), view(pod(0), pod(1))).pod_index == 0


def test_a_link_to_a_pod_without_a_headless_service_has_no_host() -> None:
    assert said(link(0), view(pod(0), workload=workload(service_name=""))).host is None


@pytest.mark.parametrize("index", [None, 2])
def test_a_link_that_names_another_namespace_is_rejected_and_binds_nothing(index: int | None) -> None:
    foreign = link(index, foreign_namespace="other")
    assert said(foreign, view(pod(2))) == Acknowledgement(
        LinkPhase.REJECTED, LinkReason.NOT_LOCAL_NAMESPACE, "only local namespace is supported"
    )
    assert foreign.held_by is None


@pytest.mark.parametrize(
    ("one", "of", "reason", "message"),
    [
        pytest.param(
            link(2),
            None,
            LinkReason.ROUTE_NOT_FOUND,
            "StatefulRoute 'game' does not exist in namespace 'play'",
            id="no route",
        ),
        pytest.param(
            link(2, acknowledged=BOUND_TO_2),
            None,
            LinkReason.ROUTE_NOT_FOUND,
            "StatefulRoute 'game' does not exist in namespace 'play'",
            id="no route any more",
        ),
        pytest.param(
            link(2),
            view(workload=None),
            LinkReason.WORKLOAD_NOT_FOUND,
            "StatefulSet 'game' of StatefulRoute 'game' does not exist",
            id="no workload",
        ),
        pytest.param(
            link(7),
            view(pod(0)),
            LinkReason.POD_NOT_FOUND,
            "StatefulRoute 'game' has no pod of index 7 now",
            id="no such pod",
        ),
        pytest.param(
            link(0),
            view(pod(0, owner="an earlier set")),
            LinkReason.POD_NOT_FOUND,
            "StatefulRoute 'game' has no pod of index 0 now",
            id="a pod of an earlier workload",
        ),
        pytest.param(
            link(0),
            view(pod(0, ServiceState.NOT_READY)),
            LinkReason.POD_NOT_ROUTABLE,
            "pod 'game-0' is not ready",
            id="not ready",
        ),
        pytest.param(
            link(0),
            view(pod(0, said=RoutingState.SHUTDOWN)),
            LinkReason.POD_NOT_ROUTABLE,
            "pod 'game-0' is shut down",
            id="shut down",
        ),
        pytest.param(
            link(),
            view(pod(0, said=RoutingState.DENY_NEW_CALL), pod(1, ServiceState.PENDING)),
            LinkReason.NO_AVAILABLE_POD,
            "no pod of StatefulRoute 'game' takes new users now",
            id="nobody takes new users",
        ),
    ],
)
def test_a_link_that_cannot_be_bound_yet_waits_and_says_for_what(
    one: Link, of: RouteView | None, reason: LinkReason, message: str
) -> None:
    assert said(one, of) == Acknowledgement(LinkPhase.PENDING, reason, message)


def test_a_bind_to_a_named_pod_is_a_statement_that_denying_new_calls_does_not_refuse() -> None:
    assert said(link(2), view(pod(2, said=RoutingState.DENY_NEW_CALL))) == BOUND_TO_2


@pytest.mark.parametrize(
    "pods",
    [
        pytest.param((), id="gone"),
        pytest.param((pod(2, ServiceState.TERMINATING),), id="terminating"),
        pytest.param((pod(2, ServiceState.PENDING),), id="coming back"),
    ],
)
def test_a_bound_link_stays_as_it_is_while_its_pod_restarts(pods: tuple[object, ...]) -> None:
    bound = link(2, acknowledged=BOUND_TO_2, observed_generation=1)
    assert is_settled(bound, said(bound, view(*pods)))  # type: ignore[arg-type]


def test_a_link_that_was_moved_in_its_spec_is_checked_anew() -> None:
    assert said(link(1, acknowledged=BOUND_TO_2), view(pod(2))).reason is LinkReason.POD_NOT_FOUND


def test_a_link_that_leaves_the_choice_gets_the_available_pod_with_the_fewest_links() -> None:
    of = view(pod(0), pod(1), pod(2, said=RoutingState.DENY_NEW_CALL), counts={0: 5, 1: 4})
    assert decide(View(link(), of)) == Bind(1)


def test_among_equals_the_lowest_index_is_chosen() -> None:
    assert decide(View(link(), view(pod(2), pod(1)))) == Bind(1)


@pytest.mark.parametrize(
    ("change", "settled"),
    [
        ({}, True),
        ({"generation": 2}, False),
        ({"expire_time": NOON}, False),
        ({"expire_time": NOON, "acknowledged_expire_time": NOON}, True),
        ({"acknowledged": None}, False),
    ],
)
def test_a_link_is_settled_when_its_status_says_it_all(change: dict[str, object], settled: bool) -> None:
    one = link(2, **{"acknowledged": BOUND_TO_2, "observed_generation": 1, **change})
    assert is_settled(one, BOUND_TO_2) is settled


indexes = st.integers(0, 4)
pods = st.builds(pod, indexes, st.sampled_from(ServiceState), st.sampled_from(RoutingState))
links = st.builds(
    link,
    st.none() | indexes,
    foreign_namespace=st.none() | st.just("other"),
    acknowledged=st.none() | st.just(BOUND_TO_2),
)
states = st.sampled_from([RoutingState.READY, RoutingState.DENY_NEW_CALL, RoutingState.SHUTDOWN])


@given(links, st.lists(pods), states, st.dictionaries(indexes, st.integers(0, 9)))
def test_every_link_has_an_answer_and_no_choice_falls_on_a_pod_that_takes_nobody(
    one: Link, some: list[object], whole: RoutingState, counts: dict[int, int]
) -> None:
    of = view(*some, of=route(routingState=whole), counts=counts)  # type: ignore[arg-type]
    plan = decide(View(one, of))
    if isinstance(plan, Bind):
        assert of.pods[plan.pod_index].is_available
        fewest = min(of.links_on(each.index) for each in of.pods.values() if each.is_available)
        assert of.links_on(plan.pod_index) == fewest
    elif plan.acknowledgement.phase is LinkPhase.BOUND:
        assert plan.acknowledgement.pod_index == one.pod_index
