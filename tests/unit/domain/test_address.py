"""Where a pod is reached, by what is known of it."""

from typing import Any

import pytest

from statefulroute.api.statefulroute import PodStatus
from statefulroute.api.vocabulary import LinkPhase, LinkReason, RoutingState, ServiceState
from statefulroute.domain.address import Address, link_address
from statefulroute.domain.errors import PodNotFoundError, PodNotRoutableError
from statefulroute.domain.link import LinkStatus
from statefulroute.domain.pod import Endpoint
from unit.domain.builders import link, route

BOUND = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "", 1, "game-1", "game-1.game.play.svc")


def said(routing_state: RoutingState = RoutingState.READY) -> PodStatus:
    return PodStatus(index=1, name="game-1", service_state=ServiceState.READY, routing_state=routing_state)


def endpoint(**fields: Any) -> Endpoint:
    known: dict[str, Any] = {"ip": "10.0.0.1", "is_ready": True, "ports": {"play": 9000}}
    return Endpoint(namespace="play", name="game-1", resource_version=1, **known | fields)


@pytest.mark.parametrize(
    ("port", "ip", "expected"),
    [
        (None, "10.0.0.1", "10.0.0.1"),
        (7777, "10.0.0.1", "10.0.0.1:7777"),
        ("play", "10.0.0.1", "10.0.0.1:9000"),
        ("other", "10.0.0.1", "10.0.0.1"),
        (7777, "fd00::1", "[fd00::1]:7777"),
    ],
)
def test_an_endpoint_is_written_as_gateways_write_it(port: int | str | None, ip: str, expected: str) -> None:
    assert link_address(link(1), route(port=port), said(), endpoint(ip=ip)).endpoint == expected


def test_the_host_is_told_once_the_operator_has_acknowledged_that_very_pod() -> None:
    at = Address("game-1", "10.0.0.1", None, None)
    assert link_address(link(1), route(), said(), endpoint()) == at
    assert link_address(link(1, status=BOUND), route(), said(), endpoint()).host == "game-1.game.play.svc"
    assert link_address(link(2, status=BOUND), route(), said(), endpoint()).host is None


@pytest.mark.parametrize("gone", [None, endpoint(ip="")])
def test_a_pod_that_has_no_address_is_not_there(gone: Endpoint | None) -> None:
    with pytest.raises(PodNotFoundError, match="the pod 'game-1' of the service 'game' is not there now"):
        link_address(link(1), route(), said(), gone)


@pytest.mark.parametrize(
    ("state", "is_ready"), [(RoutingState.SHUTDOWN, True), (RoutingState.READY, False)], ids=["shut down", "not ready"]
)
def test_a_pod_that_serves_nobody_is_not_told(state: RoutingState, is_ready: bool) -> None:
    with pytest.raises(PodNotRoutableError, match="the pod 'game-1' of the service 'game' does not serve users now"):
        link_address(link(1), route(), said(state), endpoint(is_ready=is_ready))


def test_a_draining_pod_keeps_its_users() -> None:
    assert link_address(link(1), route(), said(RoutingState.DENY_NEW_CALL), endpoint()).ip == "10.0.0.1"
