"""The index of pods by workload, compared with a search among all pods."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from statefulroute.cluster.cache import Cache
from statefulroute.controllers.workload_pods import WorkloadPods, group_of, groups_of
from statefulroute.domain.pod import Owner, Pod
from statefulroute.domain.selector import Selector
from statefulroute.domain.workload import Workload
from unit.controllers.environment import pod, workload

NAMESPACES, NAMES, LABELS = ("games", "chats"), ("one", "two"), ("a", "b")
SELECTORS = ("app=a", "app=b", "app in (a,b)", "tier", "!tier", "app=a,tier=b", "app!=a")

workloads = st.one_of(
    st.builds(
        lambda namespace, name: workload(1, name, namespace=namespace, uid=f"uid-of-{name}"),
        st.sampled_from(NAMESPACES),
        st.sampled_from(NAMES),
    ),
    st.builds(
        lambda namespace, text: workload(1, namespace=namespace, first_index=None, selector=Selector.parse(text)),
        st.sampled_from(NAMESPACES),
        st.sampled_from(SELECTORS),
    ),
)


def make_pod(namespace: str, index: int, owner: str | None, labels: dict[str, str]) -> Any:
    controller = None if owner is None else Owner("StatefulSet", owner, f"uid-of-{owner}")
    return pod(1, index, namespace=namespace, owner=controller, labels=labels)


pods = st.builds(
    make_pod,
    st.sampled_from(NAMESPACES),
    st.integers(0, 2),
    st.sampled_from([None, *NAMES]),
    st.dictionaries(st.sampled_from(("app", "tier")), st.sampled_from(LABELS)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.tuples(st.sampled_from(["put", "delete"]), pods), st.tuples(st.just("find"), workloads))))
def test_index_finds_the_pods_of_a_workload_after_any_changes(steps: list[tuple[str, Any]]) -> None:
    cache: Cache[Pod] = Cache()
    index = WorkloadPods(cache)
    for version, (step, value) in enumerate(steps, start=2):
        if step == "put":
            cache.put(pod(version, value.index, namespace=value.namespace, owner=value.owner, labels=value.labels))
        elif step == "delete":
            cache.delete(value.namespace, value.name, version)
        else:
            _check(cache, index, value)


def _check(cache: Cache[Pod], index: WorkloadPods, one: Workload) -> None:
    existing = [found for key in cache if (found := cache.get(*key)) is not None]
    expected = [each for each in existing if each.namespace == one.namespace and one.owns(each)]
    assert sorted(index.of(one), key=lambda each: each.name) == sorted(expected, key=lambda each: each.name)
    assert all(group_of(one) in groups_of(each) for each in expected)
