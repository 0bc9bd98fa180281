"""Tests the computation of capacity from the costs of a link."""

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
    apiserver_lean_bytes=2500.0,
    apiserver_history=2.0**30,
    list_seconds=0.05,
    operator_bytes=700.0,
    operator_read=0.03,
    operator_bind=0.4,
    operator_renewal=0.4,
    operator_move=0.6,
    stall=0.004,
)
INSTALLATION = Installation(apiserver_cores=4, etcd_cores=2, busy=0.5, watches=11)


def test_each_watch_makes_a_write_more_expensive_for_the_api_server() -> None:
    limits = {limit.name: limit.maximum for limit in limits_of_writes(COSTS, INSTALLATION)}
    assert limits["API server's CPU"] == pytest.approx(0.5 * 4 * 1000 / (2.0 + 10 * 0.1))
    assert limits["etcd's CPU"] == pytest.approx(0.5 * 2 * 1000 / 0.5)


def test_negative_difference_between_measurements_makes_no_write_cheaper() -> None:
    noisy = replace(COSTS, apiserver_event=-0.1)
    limits = {limit.name: limit.maximum for limit in limits_of_writes(noisy, INSTALLATION)}
    assert limits["API server's CPU"] == pytest.approx(0.5 * 4 * 1000 / 2.0)


def test_lowest_limit_comes_first() -> None:
    for limits in (
        limits_of_links(COSTS, INSTALLATION),
        limits_of_writes(COSTS, INSTALLATION),
        *limits_of_work(COSTS, INSTALLATION).values(),
    ):
        assert [limit.maximum for limit in limits] == sorted(limit.maximum for limit in limits)


@pytest.mark.parametrize(
    ("cost", "name"),
    [
        ("stored", "etcd's quota"),
        ("apiserver_bytes", "API server's memory, with managedFields"),
        ("apiserver_lean_bytes", "API server's memory, without managedFields"),
        ("operator_bytes", "operator's memory"),
        ("operator_read", "time of a start"),
        ("stall", "links of one route: event loop and Lease"),
    ],
)
def test_link_cost_that_is_a_thousand_times_higher_sets_the_limit(cost: str, name: str) -> None:
    expensive = replace(COSTS, **{cost: getattr(COSTS, cost) * 1000})
    assert limits_of_links(expensive, INSTALLATION)[0].name == name


def test_history_takes_its_part_of_the_memory_of_the_api_server_whatever_the_number_of_links() -> None:
    limits = {limit.name: limit.maximum for limit in limits_of_links(COSTS, INSTALLATION)}
    heap = 0.5 * 16 * 2**30 / 2 - 2**30
    assert limits["API server's memory, with managedFields"] == pytest.approx(heap / 5000)
    assert limits["API server's memory, without managedFields"] == pytest.approx(heap / 2500)


def test_binding_renewal_and_move_are_two_writes_each() -> None:
    writes = limits_of_writes(COSTS, INSTALLATION)[0].maximum
    for limits in limits_of_work(COSTS, INSTALLATION).values():
        assert min(writes / 2, 0.5 * 1000 / 0.4) == pytest.approx(limits[0].maximum)


def test_ten_times_as_many_temporary_links_need_ten_times_the_renewal_interval() -> None:
    assert renewal_seconds(100_000, COSTS, INSTALLATION) == pytest.approx(
        renewal_seconds(10_000, COSTS, INSTALLATION) * 10
    )
