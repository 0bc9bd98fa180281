"""Tests requests through all gateways and two resolvers while pods are scaled, shut down and killed."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateways.conftest import Environment
from gateways.fleet import TRAEFIK
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
def send_traffic(traffic: Traffic) -> Iterator[None]:
    """Sends the traffic in a thread while the context lasts, and waits for its end."""
    failures: list[BaseException] = []

    def send() -> None:
        try:
            asyncio.run(traffic.send_all())
        except BaseException as error:  # noqa: BLE001 - it is raised below
            failures.append(error)

    thread = threading.Thread(target=send, name="traffic")
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failures:
        raise failures[0]


def disrupt_pods(environment: Environment, traffic: Traffic) -> Disruptions:
    """Scales from three pods to six and back, and meanwhile shuts one pod down and kills another."""
    service, disruptions = environment.service, Disruptions()
    wait_for_fraction(traffic, 0.2)
    with disruptions.during(3, 4, 5):
        service.scale(6)
        environment.kubelet.await_ready(6)
        service.await_pods(6)
    wait_for_fraction(traffic, 0.4)
    with disruptions.during(1):
        service.annotate(1, SHUT_DOWN)
        wait_until_unlinked(service, 1)
    wait_for_fraction(traffic, 0.5)
    with disruptions.during(2):
        environment.kubelet.kill(2)
        environment.kubelet.await_ready(6)
        service.await_pod(2, serviceState="Ready")
    wait_for_fraction(traffic, 0.6)
    service.annotate(1, NO_ROUTING_STATE)
    wait_for_fraction(traffic, 0.7)
    with disruptions.during(3, 4, 5):
        service.scale(3)
        wait_until_unlinked(service, 3, 4, 5)
        service.await_pods(3)
    return disruptions


def wait_for_fraction(traffic: Traffic, fraction: float) -> None:
    """Waits until a fraction of the requests is answered."""
    eventually(lambda: len(traffic.requests) >= fraction * REQUESTS, f"{fraction:.0%} are answered", seconds=240)


def wait_until_unlinked(service: Service, *pods: int) -> None:
    """Waits until no user is linked to these pods."""
    eventually(lambda: not service.links_by_pod().keys() & set(pods), f"no user is linked to {pods}")


@pytest.mark.timeout(600)
def test_every_request_reaches_its_users_pod_while_pods_change(
    environment: Environment, independent_client: IndependentClient
) -> None:
    # The configuration of Traefik names the pods one by one, and has no more of them than there are at first.
    gateways = [gateway.url for kind, gateway in environment.gateways.items() if kind != TRAEFIK]
    traffic = Traffic(gateways, USERS, REQUESTS, PER_SECOND)
    environment.kubelet.clear_arrivals()
    with recording(independent_client, environment.service.namespace) as recorder:
        with send_traffic(traffic):
            disruptions = disrupt_pods(environment, traffic)
        last = asyncio.run(traffic.send_once_each())
        record = {
            versions[0].object["spec"]["uid"]: binding_intervals(versions)
            for versions in recorder.all_versions().values()
        }
    requests = {each.number: each for each in traffic.requests}
    arrivals = environment.kubelet.arrivals()
    late = lateness(arrivals, requests, record)
    answers, latest = Counter(each.status for each in traffic.requests), max(late, default=0.0)
    log.info("%d requests: %s; %d were late, by at most %.3f s", len(requests), dict(answers), len(late), latest)

    assert misrouted(arrivals, requests, record) == []
    failed = [each for each in traffic.requests if each.status != 200]
    assert [each for each in failed if not disruptions.covers(each, record.get(each.uid, ()))] == []
    # The test covered all cases: users at each pod, moved users, and finally every user at the pod of its link.
    assert {each.pod for each in arrivals} == set(range(6))
    assert sum(len(times) > 1 for times in record.values()) >= USERS // 10
    assert len(requests) == REQUESTS + USERS * len(gateways)
    assert {(each.status, each.pod) for each in last if each.pod != f"game-{record[each.uid][-1].pod}"} == set()
    assert {each.status for each in last} == {200}
