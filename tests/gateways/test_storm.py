"""Users ask through two gateways and two resolvers while their pods come and go."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateways.conftest import Stage
from gateways.crowd import Crowd
from gateways.judging import Unrest, astray, lateness, tenures
from harness.patience import eventually
from harness.recorder import recording
from harness.service import SAYS_NOTHING, SHUT_DOWN, Service
from harness.sizes import links
from harness.witness import Witness

log = logging.getLogger(__name__)

REQUESTS, USERS, PER_SECOND = links(1_500, 10_000), links(100, 500), links(100, 150)


@contextmanager
def asking(crowd: Crowd) -> Iterator[None]:
    """Have the crowd ask, in a thread of its own; ends when all is answered."""
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            asyncio.run(crowd.ask())
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


def come_and_go(stage: Stage, crowd: Crowd) -> Unrest:
    """Scale from three pods to six and back, and meanwhile drain one pod and kill another."""
    service, unrest = stage.service, Unrest()
    await_part(crowd, 0.2)
    with unrest.of(3, 4, 5):
        service.scale(6)
        stage.kubelet.await_ready(6)
        service.await_pods(6)
    await_part(crowd, 0.4)
    with unrest.of(1):
        service.annotate(1, SHUT_DOWN)
        await_nobody(service, 1)
    await_part(crowd, 0.5)
    with unrest.of(2):
        stage.kubelet.kill(2)
        stage.kubelet.await_ready(6)
        service.await_pod(2, serviceState="Ready")
    await_part(crowd, 0.6)
    service.annotate(1, SAYS_NOTHING)
    await_part(crowd, 0.7)
    with unrest.of(3, 4, 5):
        service.scale(3)
        await_nobody(service, 3, 4, 5)
        service.await_pods(3)
    return unrest


def await_part(crowd: Crowd, part: float) -> None:
    """Wait until so much of all is answered."""
    eventually(lambda: len(crowd.requests) >= part * REQUESTS, f"{part:.0%} is answered", seconds=240)


def await_nobody(service: Service, *pods: int) -> None:
    """Wait until no user is linked to these pods."""
    eventually(lambda: not service.spread().keys() & set(pods), f"nobody is linked to {pods}")


@pytest.mark.timeout(600)
def test_every_request_reaches_the_pod_that_holds_its_user_while_pods_come_and_go(
    stage: Stage, witness: Witness
) -> None:
    crowd = Crowd([each.url for each in stage.gateways.values()], USERS, REQUESTS, PER_SECOND)
    stage.kubelet.forget()
    with recording(witness, stage.service.namespace) as recorder:
        with asking(crowd):
            unrest = come_and_go(stage, crowd)
        last = asyncio.run(crowd.ask_once())
        record = {versions[0].object["spec"]["uid"]: tenures(versions) for versions in recorder.record().values()}
    requests = {each.number: each for each in crowd.requests}
    arrivals = stage.kubelet.arrivals()
    late = lateness(arrivals, requests, record)
    answers, latest = Counter(each.status for each in crowd.requests), max(late, default=0.0)
    log.info("%d requests: %s; %d were late, %.3f s at the most", len(requests), dict(answers), len(late), latest)

    assert astray(arrivals, requests, record) == []
    failed = [each for each in crowd.requests if each.status != 200]
    assert [each for each in failed if not unrest.excuses(each, record.get(each.uid, ()))] == []
    # All of it has happened: users at each pod, users who have moved, and in the end everybody where the link says.
    assert {each.pod for each in arrivals} == set(range(6))
    assert sum(len(times) > 1 for times in record.values()) >= USERS // 10
    assert len(requests) == REQUESTS + USERS * len(stage.gateways)
    assert {(each.status, each.pod) for each in last if each.pod != f"game-{record[each.uid][-1].pod}"} == set()
    assert {each.status for each in last} == {200}
