"""The index chooses the pod that the rule chooses, whatever the pods, loads, links and times are."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from statefulroute.api.vocabulary import LossCause, ServiceState
from statefulroute.domain.keys import PodKey
from statefulroute.domain.load import Load, LoadReport
from statefulroute.domain.no_pod import explain_no_pod
from statefulroute.domain.placement import best_pod, has_available_pod
from statefulroute.domain.placement_index import PlacementIndex
from statefulroute.domain.route import PodLoss, RouteView
from unit.domain.builders import NOON, pod, route, view

PODS = 7
LOSS = PodLoss(LossCause.POD_DELETED, "is gone", is_grace_over=True)
INDEXES = st.integers(0, PODS - 1)
FEW, MORE = st.integers(0, 3), st.integers(0, 12)

SPECS = st.builds(
    lambda limit, load_range, factor, percent: {
        "placement": {"maxLinksPerPod": limit, "range": load_range},
        "load": {"cpuFactorPercent": factor, "minFreshPercent": percent, "staleAfterSeconds": 60},
    },
    st.sampled_from([0, 0, 2, 5]),
    st.sampled_from([0, 1, 5, 100]),
    st.sampled_from([0, 33, 100]),
    st.sampled_from([0, 50, 100]),
)
LOADS = st.builds(
    lambda state, tasks, age, links: Load(LoadReport(state, tasks, NOON - timedelta(seconds=age)), links),
    MORE,
    FEW,
    st.sampled_from([0, 10, 59, 61]),
    FEW,
)
#: A change of a pod's links in this route or another one, of its load, or of its loss; or a time that passes.
CHANGES = st.one_of(
    st.tuples(st.sampled_from(["links", "other links"]), INDEXES, FEW),
    st.tuples(st.just("load"), INDEXES, st.one_of(st.none(), LOADS)),
    st.tuples(st.sampled_from(["lost", "withheld"]), INDEXES, st.booleans()),
    st.tuples(st.just("time"), INDEXES, st.sampled_from([-60, 1, 30])),
)
STATES = st.sampled_from([ServiceState.READY] * 4 + [ServiceState.NOT_READY])


@settings(max_examples=500, deadline=None)
@given(
    SPECS,
    st.lists(STATES, min_size=PODS, max_size=PODS),
    st.dictionaries(INDEXES, LOADS),
    st.dictionaries(INDEXES, FEW),
    st.lists(CHANGES, max_size=25),
)
def test_index_chooses_as_the_rule(
    spec: dict[str, dict[str, int]],
    states: list[ServiceState],
    loads: dict[PodKey, Load],
    counts: dict[PodKey, int],
    changes: list[tuple[str, int, object]],
) -> None:
    others: dict[PodKey, int] = {}
    pods = [pod(index, state) for index, state in enumerate(states)]
    route_view = view(*pods, route=route(**spec), loads=loads, link_counts=counts, other_link_counts=[others])
    index = PlacementIndex(route_view, NOON)
    route_view = replace(route_view, index=index)
    index.update(route_view)
    now = NOON
    for kind, key, value in (("time", 0, 0), *changes):
        match kind, value:
            case "time", int(seconds):
                now += timedelta(seconds=seconds)
            case "load", Load() as load:
                loads[key] = load
            case "load", None:
                loads.pop(key, None)
            case "lost" | "withheld", bool(is_lost):
                route_view = _with_loss(route_view, kind, key, is_lost=is_lost)
                index.update(route_view, [key])
            case _, int(links):
                (counts if kind == "links" else others)[key] = links
        index.pod_changed(key)
        plain = replace(route_view, index=None)
        best = best_pod(route_view, now)
        assert best == best_pod(plain, now)
        assert has_available_pod(route_view, now) == has_available_pod(plain, now)
        if best is None:
            assert explain_no_pod(route_view, now) == explain_no_pod(plain, now)


def _with_loss(route_view: RouteView, kind: str, key: int, *, is_lost: bool) -> RouteView:
    """Returns the next view, in which a pod is lost or its loss is withheld, or is not any more."""
    name = "lost" if kind == "lost" else "withheld_losses"
    losses = {pod_key: loss for pod_key, loss in getattr(route_view, name).items() if pod_key != key}
    if is_lost:
        losses[key] = LOSS
    return replace(route_view, **{name: losses})


def test_index_does_not_choose_for_an_earlier_view() -> None:
    earlier = view(pod(0), pod(1))
    index = PlacementIndex(earlier, NOON)
    earlier = replace(earlier, index=index)
    index.update(replace(earlier, lost={0: LOSS}), [0])
    best = best_pod(earlier, NOON)
    assert best is not None
    assert best.key == 0
