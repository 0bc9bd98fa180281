"""Users ask through two gateways and two resolvers while their pods come and go."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateways.conftest import Environment
from gateways.traffic import Traffic
from gateways.verification import Disruptions, binding_intervals, lateness, misrouted
from support.independent_client import IndependentClient
from support.link_recorder import recording
from support.scale import scaled
from support.service import NO_ROUTING_STATE, SHUT_DOWN, Service
from support.waiting import eventually

log = logging.getLogger(__name__)

REQUESTS, USERS, PER_SECOND = scaled(1_500, 10_000), scaled(100, 500), scaled(100, 150)


@contextmanager
def send_traffic(crowd: Traffic) -> Iterator[None]:
    """Have the crowd ask, in a thread of its own; ends when all is answered."""
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            asyncio.run(crowd.send_all())
        except BaseException as error:  # noqa: BLE001 - it is raised below
            failures.append(error)

    thread = threading.Thread(target=ask, name="crowd")
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failures:
        raise failures[0]


def disrupt_pods(environment: Environment, crowd: Traffic) -> Disruptions:
    """Scale from three pods to six and back, and meanwhile drain one pod and kill another."""
    service, unrest = environment.service, Disruptions()
    wait_for_fraction(crowd, 0.2)
    with unrest.during(3, 4, 5):
        service.scale(6)
        environment.kubelet.await_ready(6)
        service.await_pods(6)
    wait_for_fraction(crowd, 0.4)
    with unrest.during(1):
        service.annotate(1, SHUT_DOWN)
        wait_until_unlinked(service, 1)
    wait_for_fraction(crowd, 0.5)
    with unrest.during(2):
        environment.kubelet.kill(2)
        environment.kubelet.await_ready(6)
        service.await_pod(2, serviceState="Ready")
    wait_for_fraction(crowd, 0.6)
    service.annotate(1, NO_ROUTING_STATE)
    wait_for_fraction(crowd, 0.7)
    with unrest.during(3, 4, 5):
        service.scale(3)
        wait_until_unlinked(service, 3, 4, 5)
        service.await_pods(3)
    return unrest


def wait_for_fraction(crowd: Traffic, part: float) -> None:
    """Wait until so much of all is answered."""
    eventually(lambda: len(crowd.requests) >= part * REQUESTS, f"{part:.0%} is answered", seconds=240)


def wait_until_unlinked(service: Service, *pods: int) -> None:
    """Wait until no user is linked to these pods."""
    eventually(lambda: not service.links_by_pod().keys() & set(pods), f"nobody is linked to {pods}")


@pytest.mark.timeout(600)
def test_every_request_reaches_its_users_pod_while_pods_change(
    environment: Environment, independent_client: IndependentClient
) -> None:
    crowd = Traffic([each.url for each in environment.gateways.values()], USERS, REQUESTS, PER_SECOND)
    environment.kubelet.clear_arrivals()
    with recording(independent_client, environment.service.namespace) as recorder:
        with send_traffic(crowd):
            unrest = disrupt_pods(environment, crowd)
        last = asyncio.run(crowd.send_once_each())
        record = {
            versions[0].object["spec"]["uid"]: binding_intervals(versions)
            for versions in recorder.all_versions().values()
        }
    requests = {each.number: each for each in crowd.requests}
    arrivals = environment.kubelet.arrivals()
    late = lateness(arrivals, requests, record)
    answers, latest = Counter(each.status for each in crowd.requests), max(late, default=0.0)
    log.info("%d requests: %s; %d were late, %.3f s at the most", len(requests), dict(answers), len(late), latest)

    assert misrouted(arrivals, requests, record) == []
    failed = [each for each in crowd.requests if each.status != 200]
    assert [each for each in failed if not unrest.covers(each, record.get(each.uid, ()))] == []
    # All of it has happened: users at each pod, users who have moved, and in the end everybody where the link says.
    assert {each.pod for each in arrivals} == set(range(6))
    assert sum(len(times) > 1 for times in record.values()) >= USERS // 10
    assert len(requests) == REQUESTS + USERS * len(environment.gateways)
    assert {(each.status, each.pod) for each in last if each.pod != f"game-{record[each.uid][-1].pod}"} == set()
    assert {each.status for each in last} == {200}
