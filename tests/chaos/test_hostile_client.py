"""Tests that users of other services are bound while a client creates as many links as it can."""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import requests

from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.namespaces import drained_namespace
from support.operator_process import OperatorProcess, OperatorSlot
from support.scale import scaled
from support.service import Service, is_bound
from support.waiting import eventually

log = logging.getLogger(__name__)

NUMBER = scaled(300, 50_000)

#: The maximum time to bind a user of another service, also when the flood uses all CPUs.
BOUND_SECONDS = 10.0

#: The maximum time until the whole flood is bound: the machine binds some hundred links per second.
FLOOD_SECONDS = 60.0 + NUMBER / 50

pytestmark = pytest.mark.timeout(2 * FLOOD_SECONDS + 120)


@pytest.fixture(scope="module", autouse=True)
def _serving(operator: OperatorProcess) -> None:
    del operator


@pytest.fixture
def services(
    installed: Kubectl, operator_slot: OperatorSlot, independent_client: IndependentClient
) -> Iterator[tuple[Service, Service]]:
    """A service that is flooded, and another one in another namespace."""
    with (
        drained_namespace(installed, independent_client, operator_slot) as one,
        drained_namespace(installed, independent_client, operator_slot) as other,
    ):
        services = (
            Service(installed.within(one), independent_client),
            Service(installed.within(other), independent_client),
        )
        for each in services:
            each.start()
        yield services
        while independent_client.all(PodLink, one):
            with suppress(requests.RequestException):  # the deletion is slow, and each request deletes a part
                independent_client.delete_all(PodLink, one)


def test_users_of_other_services_are_bound_while_a_client_floods_one_service(services: tuple[Service, Service]) -> None:
    flooded, honest = services
    seconds: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        start = time.monotonic()
        flood = pool.submit(flooded.link_all, [f"hostile-{number}" for number in range(NUMBER)])
        while not flood.done() or len(seconds) < 5:
            since = time.monotonic()
            name = honest.link(f"honest-{len(seconds)}")
            eventually(lambda name=name: is_bound(honest.get(name)), f"{name} is bound", seconds=BOUND_SECONDS)
            seconds.append(time.monotonic() - since)
        flood.result()
        created = time.monotonic() - start
    eventually(lambda: flooded.route_status()["links"] == NUMBER, "the route counts them", seconds=FLOOD_SECONDS)
    eventually(lambda: all(map(is_bound, flooded.links())), "the flood is bound, too", seconds=FLOOD_SECONDS)
    log.info(
        "%s links in %.0f s, all bound after %.0f s; %s other users bound within %.2f s, the slowest",
        NUMBER,
        created,
        time.monotonic() - start,
        len(seconds),
        max(seconds),
    )
