"""A wrong clock of an API server, or of the operator's machine, ends no temporary link early."""

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from chaos.clock import ProcessClock, unsupported_reason
from chaos.proxy import FaultProxy
from localcluster import LocalCluster
from support.independent_client import PodLink
from support.metrics import ANY_PORT, MonitoredOperator
from support.operator_process import OperatorSlot
from support.service import Service
from support.waiting import eventually

HOUR = 3600

#: Longer than a test, and shorter than the error of the clock.
TTL = 600

DIFFERENCE = "statefulroute_clock_difference_seconds"

#: The largest error of a measurement: a Date header has whole seconds.
ACCURACY = 3

WARNING = "the clocks of this process and of the API server differ"

_uids = map("timely-{}".format, count())


@pytest.fixture
def proxy(cluster: LocalCluster, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(cluster.kubeconfig, tmp_path / "proxy") as proxy:
        yield proxy


@pytest.fixture
def operator(operator_slot: OperatorSlot, proxy: FaultProxy) -> Iterator[MonitoredOperator]:
    """An operator behind the proxy, which the test starts."""
    with operator_slot.acquire(proxy.kubeconfig, *ANY_PORT) as process:
        yield MonitoredOperator(process)


def work(game: Service, *, ends: bool = True) -> None:
    """Lets the operator bind links and, unless its clock is behind, remove expired ones, for a few seconds."""
    for _ in range(3):
        name = game.link(next(_uids), podIndex=0, ttlSeconds=1)
        if ends:
            game.await_deleted(name)
        else:
            game.await_bound(name)
            time.sleep(1)


def difference(operator: MonitoredOperator) -> float:
    value = operator.scrape().value(DIFFERENCE)
    assert value is not None
    return value


def await_difference(operator: MonitoredOperator, game: Service, seconds: float) -> None:
    """Lets the operator work until it reports this difference of the clocks."""

    def differs() -> bool:
        game.await_bound(game.link(next(_uids), podIndex=0))
        return abs(difference(operator) - seconds) <= ACCURACY

    eventually(differs, f"the clocks differ by {seconds:g} s")


def test_dates_of_an_hour_ahead_end_no_link(operator: MonitoredOperator, proxy: FaultProxy, service: Service) -> None:
    operator.operator.start()
    service.start()
    await_difference(operator, service, 0)
    names = [service.link(next(_uids), podIndex=1, ttlSeconds=TTL) for _ in range(20)]
    for name in names:
        service.await_bound(name)
    proxy.skew_date(HOUR)
    await_difference(operator, service, HOUR)
    work(service)
    assert [name for name in names if not service.exists(PodLink, name)] == []
    warnings = [line for line in operator.operator.lines if line["event"].startswith(WARNING)]
    assert [(line["level"], round(line["seconds"] / HOUR)) for line in warnings] == [("warning", 1)]
    proxy.heal()
    await_difference(operator, service, 0)


def test_dates_of_an_hour_ago_delay_the_end_of_links(
    operator: MonitoredOperator, proxy: FaultProxy, service: Service
) -> None:
    operator.operator.start()
    service.start()
    await_difference(operator, service, 0)
    proxy.skew_date(-HOUR)
    await_difference(operator, service, -HOUR)
    name = service.link(next(_uids), podIndex=1, ttlSeconds=1)
    service.await_bound(name)
    await_difference(operator, service, -HOUR)
    assert service.exists(PodLink, name)
    proxy.heal()
    await_difference(operator, service, 0)
    service.await_deleted(name)


@pytest.mark.skipif(unsupported_reason() is not None, reason=str(unsupported_reason()))
@pytest.mark.parametrize("minutes", [60, -4])  # the API server's certificate is valid from five minutes ago
def test_wrong_clock_of_the_machine_ends_no_link_early(
    operator: MonitoredOperator, service: Service, tmp_path: Path, minutes: int
) -> None:
    clock = ProcessClock(tmp_path)
    clock.shift(minutes)
    operator.operator.launch(clock.environment)
    operator.operator.await_serving()
    service.start()
    long = service.link(next(_uids), podIndex=1, ttlSeconds=TTL)
    short = service.link(next(_uids), podIndex=1, ttlSeconds=1)
    await_difference(operator, service, -60 * minutes)
    if minutes > 0:
        service.await_deleted(short)
    work(service, ends=minutes > 0)
    assert service.exists(PodLink, long)
    assert service.exists(PodLink, short) == (minutes < 0)
