"""Which loads are fresh: updated load by load, as the rule states it for each of them."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from statefulroute.domain.fresh_loads import FreshLoads
from statefulroute.domain.load import Load, LoadReport

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STALE_AFTER = 30

PODS = st.integers(0, 7)
CHANGES = st.one_of(
    st.tuples(st.just("report"), PODS, st.integers(-40, 0)),
    st.tuples(st.just("forget"), PODS, st.just(0)),
    st.tuples(st.just("advance"), st.just(0), st.integers(-15, 25)),
)


@given(st.lists(PODS, max_size=8), st.lists(CHANGES, max_size=40))
def test_updates_agree_with_the_rule(first: list[int], changes: list[tuple[str, int, int]]) -> None:
    now = NOON
    loads = {pod: Load(LoadReport(1, 0, NOON), 0) for pod in first}
    fresh = FreshLoads(loads, STALE_AFTER, now)

    def by_rule() -> set[int]:
        return {pod for pod, load in loads.items() if load.is_fresh(STALE_AFTER, now)}

    for change, pod, seconds in changes:
        if change == "advance":
            before, now = by_rule(), now + timedelta(seconds=seconds)
            assert fresh.advance(now) == before ^ by_rule()
        else:
            loads.pop(pod, None)
            if change == "report":
                loads[pod] = Load(LoadReport(1, 0, now + timedelta(seconds=seconds)), 0)
            fresh.update(pod)
        assert {pod for pod in range(8) if pod in fresh} == by_rule()
        check = fresh.next_check()
        first_stale = min((loads[pod].report.time for pod in by_rule()), default=None)
        assert first_stale is None or (check is not None and check <= first_stale + timedelta(seconds=STALE_AFTER))
        assert check is None or by_rule() or check >= now
