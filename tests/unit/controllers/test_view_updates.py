"""A view that is updated pod by pod equals one that is built from scratch, after any changes."""

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from statefulroute.api.vocabulary import ServiceState
from statefulroute.controllers import view_builder
from statefulroute.controllers.view_builder import _MAX_SCANNED_PODS
from statefulroute.domain.keys import PodKey, pod_sort_key
from statefulroute.domain.no_pod import explain_no_pod
from statefulroute.domain.placement import best_pod, has_available_pod
from statefulroute.domain.pod import Pod
from statefulroute.domain.pod_views import NodeCounts, PodViews
from statefulroute.domain.route import RouteView
from support.own_loop import run_in_own_loop
from unit.controllers.changing_service import CHANGES, NODES, START, Change, ChangingService
from unit.controllers.environment import GAME


def _facts(service: ChangingService, view: RouteView) -> dict[str, Any]:
    """Returns all that decisions and statuses depend on."""
    state = service.store._losses._states.get(GAME)  # noqa: SLF001 - what the next evaluation depends on
    loads = {key: view.fresh_load(key, service.environment.now + service.environment.skew) for key in view.loads}
    return {
        "pods": [(key, replace(each, pod=each.pod.decision_inputs)) for key, each in view.pods.items()],
        "lost": list(view.lost.items()),
        "withheld": list(view.withheld_losses.items()),
        "suspension": view.loss_suspension,
        "end_causes": dict(view.end_causes),
        "loads": loads,
        "missing": view.missing_workload,
        "state": state and asdict(state),
        "unverified": dict(service.store.unverified_losses(GAME)),
    }


def _check_totals(view: RouteView) -> None:
    assert isinstance(view.pods, PodViews)
    for without in ([], [*list(view.pods)[:2], "no such pod"]):
        is_lost: dict[str, bool] = {}
        for key, each in view.pods.items():
            name, state = each.pod.node_name, each.pod.service_state
            is_leaving = (
                state is ServiceState.TERMINATING and view.workload is not None and not view.workload.is_indexed
            )
            if name and key not in without and state is not ServiceState.FAILED and not is_leaving:
                is_lost[name] = is_lost.get(name, False) or each.is_on_lost_node
        assert view.pods.count_nodes(without) == NodeCounts(len(is_lost), sum(is_lost.values()))
    assert view.pods.ready == sum(each.pod.is_ready for each in view.pods.values())
    assert view.pods.wanted == sum(view.workload is None or view.workload.wants(key) for key in view.pods)
    for node in NODES:
        assert view.pods.on_node(node) == {key for key, each in view.pods.items() if each.pod.node_name == node}
    assert list(view.pods) == sorted(view.pods, key=pod_sort_key)


def _check_nodes(service: ChangingService, view: RouteView) -> None:
    by_node = service.store._entries._by_node  # noqa: SLF001 - who looks at a node's event
    assert {name: list(entries) for name, entries in by_node.items()} == {
        each.pod.node_name: [GAME] for each in view.pods.values() if each.pod.node_name
    }


def _check_choice(view: RouteView, now: datetime) -> None:
    """Checks that the index knows the pod that the rule chooses, and otherwise why there is none."""
    plain = replace(view, index=None)
    best = best_pod(view, now)
    assert view.index is not None or len(view.pods) <= _MAX_SCANNED_PODS
    assert best == best_pod(plain, now)
    assert has_available_pod(view, now) == has_available_pod(plain, now)
    if best is None:
        assert explain_no_pod(view, now) == explain_no_pod(plain, now)


#: The best pod is ready on a node that is lost, and is itself lost later.
LOSS_OF_THE_BEST_POD = [("delete_link", (0,)), ("delete_link", (5,)), ("put_node", (0, False))]
LOSS_OF_MOST_PODS = [("delete_pod", (index,)) for index in range(4)]


@settings(max_examples=300, deadline=None)
@given(st.lists(CHANGES, max_size=40), st.tuples(st.booleans(), st.booleans()), st.sampled_from([0, _MAX_SCANNED_PODS]))
@example([*LOSS_OF_THE_BEST_POD, ("look", ()), ("elapse", (31,))], (True, False), 0)
@example([("look", ()), *LOSS_OF_MOST_PODS, ("look", ()), ("elapse", (31,))], (True, False), 0)
@example([("look", ()), *LOSS_OF_MOST_PODS, ("look", ()), ("elapse", (31,))], (False, True), _MAX_SCANNED_PODS)
def test_updated_views_equal_those_from_scratch(
    changes: list[Change], options: tuple[bool, bool], max_scanned_pods: int
) -> None:
    is_indexed, verifies = options

    async def run() -> None:
        updated, scratch = (
            ChangingService(is_indexed=is_indexed, verifies=verifies, from_scratch=from_scratch)
            for from_scratch in (False, True)
        )
        former: dict[PodKey, Any] = {}
        for change in (*START, ("look", ()), *changes, ("look", ())):
            updated.apply(change)
            scratch.apply(change)
            if change[0] != "look":
                continue
            views = updated.view(), scratch.view()
            assert _facts(updated, views[0]) == _facts(scratch, views[1])
            _check_choice(views[0], updated.environment.now + updated.environment.skew)
            _check_totals(views[0])
            _check_nodes(updated, views[0])
            former = _check_changes(updated, views[0], former)

    with patch.object(view_builder, "_MAX_SCANNED_PODS", max_scanned_pods):
        run_in_own_loop(run())


def _check_changes(service: ChangingService, view: RouteView, former: dict[PodKey, Any]) -> dict[PodKey, Any]:
    """Checks that all pods that differ from the former view were announced; returns the present ones."""

    def facts(key: PodKey) -> tuple[Any, ...]:
        each: Pod | Any = view.pods.get(key)
        pod_facts = each and replace(each, pod=each.pod.decision_inputs)
        return pod_facts, view.lost.get(key), view.withheld_losses.get(key)

    keys = former.keys() | view.pods.keys() | view.lost.keys() | view.withheld_losses.keys()
    present = {key: facts(key) for key in keys}
    nothing = (None, None, None)
    announced: set[PodKey] = set().union(*(each.changed for each in service.changes))
    appeared: set[PodKey] = set().union(*(each.appeared for each in service.changes))
    service.changes.clear()
    assert announced >= {key for key in keys if present[key] != former.get(key, nothing)}
    assert appeared >= {key for key in keys if present[key][0] and not former.get(key, nothing)[0]}
    emptied = {key for key, each in view.pods.items() if each.is_handing_over}
    assert appeared >= {
        key for key in emptied if not (before := former.get(key, nothing)[0]) or not before.is_handing_over
    }
    assert appeared >= {key for key in view.lost if view.lost[key] != former.get(key, nothing)[1]}
    return present
