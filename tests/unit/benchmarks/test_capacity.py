"""What an installation carries, reckoned from what a link costs."""

from dataclasses import replace

import pytest

from measuring.capacity import (
    Installation,
    LinkCosts,
    limits_of_links,
    limits_of_work,
    limits_of_writes,
    renewal_seconds,
)

COSTS = LinkCosts(
    apiserver_write=2.0,
    apiserver_event=0.1,
    etcd_write=0.5,
    stored=3000.0,
    stored_write=1500.0,
    apiserver_bytes=5000.0,
    list_seconds=0.05,
    operator_bytes=700.0,
    operator_read=0.03,
    operator_bind=0.4,
    operator_renewal=0.4,
    operator_move=0.6,
    stall=0.004,
)
GIVEN = Installation(apiserver_cores=4, etcd_cores=2, busy=0.5, watches=11)


def test_each_watch_makes_a_write_dearer_for_the_api_server() -> None:
    limits = {limit.name: limit.maximum for limit in limits_of_writes(COSTS, GIVEN)}
    assert limits["API server's CPU"] == pytest.approx(0.5 * 4 * 1000 / (2.0 + 10 * 0.1))
    assert limits["etcd's CPU"] == pytest.approx(0.5 * 2 * 1000 / 0.5)


def test_a_difference_between_two_measurements_that_is_below_nothing_makes_no_write_cheaper() -> None:
    noisy = replace(COSTS, apiserver_event=-0.1)
    limits = {limit.name: limit.maximum for limit in limits_of_writes(noisy, GIVEN)}
    assert limits["API server's CPU"] == pytest.approx(0.5 * 4 * 1000 / 2.0)


def test_the_lowest_limit_comes_first() -> None:
    for limits in (
        limits_of_links(COSTS, GIVEN),
        limits_of_writes(COSTS, GIVEN),
        *limits_of_work(COSTS, GIVEN).values(),
    ):
        assert [limit.maximum for limit in limits] == sorted(limit.maximum for limit in limits)


@pytest.mark.parametrize(
    ("cost", "what"),
    [
        ("stored", "etcd's quota"),
        ("apiserver_bytes", "API server's memory"),
        ("operator_bytes", "operator's memory"),
        ("operator_read", "time of a start"),
        ("stall", "links of one route: event loop and Lease"),
    ],
)
def test_a_link_that_costs_a_thousand_times_as_much_is_what_limits(cost: str, what: str) -> None:
    dear = replace(COSTS, **{cost: getattr(COSTS, cost) * 1000})
    assert limits_of_links(dear, GIVEN)[0].name == what


def test_a_binding_a_renewal_and_a_move_are_two_writes_each() -> None:
    writes = limits_of_writes(COSTS, GIVEN)[0].maximum
    for limits in limits_of_work(COSTS, GIVEN).values():
        assert min(writes / 2, 0.5 * 1000 / 0.4) == pytest.approx(limits[0].maximum)


def test_ten_times_the_temporary_links_are_renewed_ten_times_as_seldom() -> None:
    assert renewal_seconds(100_000, COSTS, GIVEN) == pytest.approx(renewal_seconds(10_000, COSTS, GIVEN) * 10)
