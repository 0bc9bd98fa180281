"""No link waits for something that has happened: after any changes, each link has the status that the rules require."""

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from statefulroute.api.vocabulary import ServiceState
from statefulroute.controllers.links import route_queue
from statefulroute.domain.decision import LinkView, UpdateStatus, decide, is_status_current
from statefulroute.domain.link import Link
from statefulroute.domain.route import RouteView
from support.own_loop import run_in_own_loop
from unit.controllers.changing_service import CHANGES, START, Change, ChangingService
from unit.controllers.environment import GAME, Environment, eventually, running_route

#: The clock of the test is that of all components, and assumed placements are always followed by an offer of the room.
EXCLUDED = {"skew", "assume"}


LOOK: Change = ("look", ())
HANDS_OVER: Change = ("edit_field", ("handOver", {"timeoutSeconds": 10}))
SOON_LOST: Change = (
    "edit_field",
    ("onPodLost", {"graceSeconds": 10, "notReadySeconds": 20, "suspend": {"minimum": 5}}),
)
#: What happens, and what a later time, a verification or a confirmation then changes.
LOSSES: tuple[list[Change], ...] = (
    [("delete_workload", ()), LOOK, ("elapse", (31,)), LOOK, ("scale", (5,))],
    [SOON_LOST, ("delete_pod", (1,)), LOOK, ("elapse", (31,)), LOOK, ("verify", ())],
    [SOON_LOST, ("put_pod", (1, ServiceState.NOT_READY, 0)), LOOK, ("elapse", (31,)), LOOK, ("verify", ())],
    [SOON_LOST, ("put_node", (0, False)), LOOK, ("elapse", (31,)), LOOK, ("verify", ())],
    [SOON_LOST, ("scale", (0,)), *(("delete_pod", (each,)) for each in range(5)), LOOK, ("verify", ())],
    [*(("delete_pod", (each,)) for each in range(4)), LOOK, ("elapse", (31,)), LOOK, ("confirm", ())],
    [SOON_LOST, ("edit_field", ("routingState", "Shutdown")), LOOK, ("verify", ()), LOOK],
    [HANDS_OVER, ("close", (1, True)), LOOK, ("elapse", (11,)), LOOK, ("delete_pod", (0,)), LOOK, ("commit", (1,))],
    [
        HANDS_OVER,
        ("ask", (2, 3)),
        LOOK,
        ("put_odd_pod", (3, "is_ready", False)),
        LOOK,
        ("ask", (2, 0)),
        ("elapse", (11,)),
    ],
    [
        HANDS_OVER,
        ("edit_field", ("placement", {"maxLinksPerPod": 1})),
        ("edit_field", ("pods", [{"index": 1, "routingState": "Shutdown"}])),
        LOOK,
        ("delete_link", (2,)),
        LOOK,
        ("elapse", (11,)),
    ],
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.sampled_from(LOSSES), st.lists(CHANGES, max_size=30)), st.tuples(st.booleans(), st.booleans()))
def test_no_link_waits_for_something_that_has_happened(changes: list[Change], options: tuple[bool, bool]) -> None:
    async def run() -> None:
        service = ChangingService(is_indexed=options[0], verifies=options[1], from_scratch=False)
        async with running_route(service.environment):
            for change in (*START, *(each for each in changes if each[0] not in EXCLUDED)):
                service.apply(change)
                if change == LOOK:
                    await eventually(lambda: not unfinished(service))
            await eventually(lambda: not unfinished(service))

    with patch.object(route_queue, "_STATUS_CHECK_SECONDS", 0.001):
        run_in_own_loop(run())


def gathered(environment: Environment, link: Link, view: RouteView | None) -> LinkView:
    """Returns what a decision about a link depends on."""
    is_due = link.hand_over is not None and environment.hand_overs.is_due(link, view)
    return LinkView(link, view, environment.now, is_due)


def unfinished(service: ChangingService) -> list[str]:
    """Returns the links for which something is left to do."""
    environment = service.environment
    view, links = environment.route_store.get(GAME), environment.links.in_partition(GAME).values()
    plans = {link.name: (link, decide(gathered(environment, link, view))) for link in links}
    return [
        name
        for name, (link, plan) in plans.items()
        if not isinstance(plan, UpdateStatus) or not is_status_current(link, plan.status)
    ]
