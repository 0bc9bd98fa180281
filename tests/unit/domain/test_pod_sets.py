"""Sets of pods, of which equal small ones are one object."""

from hypothesis import given
from hypothesis import strategies as st

from statefulroute.domain.keys import PodKey
from statefulroute.domain.pod_sets import NO_PODS, add_pod, pod_set, remove_pod

PODS = st.one_of(st.integers(0, 7), st.sampled_from(["game-a", "game-b"]))


@given(st.lists(PODS), st.lists(st.tuples(st.booleans(), PODS), max_size=40))
def test_sets_change_as_plain_ones(first: list[PodKey], changes: list[tuple[bool, PodKey]]) -> None:
    pods, plain = pod_set(first), set(first)
    for is_added, pod in changes:
        pods = add_pod(pods, pod) if is_added else remove_pod(pods, pod)
        plain = plain | {pod} if is_added else plain - {pod}
        assert pods == plain


def test_equal_small_sets_are_one_object() -> None:
    assert pod_set([0]) is add_pod(NO_PODS, 0) is remove_pod(pod_set([0, 1]), 1)


def test_change_of_one_small_set_changes_no_other() -> None:
    pods = pod_set([0, 1])
    assert add_pod(pod_set([0, 1]), 2) == {0, 1, 2}
    assert remove_pod(pod_set([0, 1]), 1) == {0}
    assert pods == {0, 1}


def test_large_set_changes_in_place() -> None:
    pods = pod_set(range(10))
    assert add_pod(pods, 10) is pods is remove_pod(pods, 0)
