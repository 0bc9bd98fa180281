"""The addresses of pods."""

from typing import Any

import pytest

from statefulroute.api.route_status import PodStatus
from statefulroute.api.vocabulary import LinkPhase, LinkReason, RoutingState, ServiceState
from statefulroute.domain.address import Address, link_address
from statefulroute.domain.errors import PodNotFoundError, PodNotRoutableError
from statefulroute.domain.link import LinkStatus
from statefulroute.domain.pod import Endpoint
from unit.domain.builders import link, route

BOUND = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "", 1, "game-1", "game-1.game.play.svc")


def pod_status(routing_state: RoutingState = RoutingState.READY) -> PodStatus:
    return PodStatus(index=1, name="game-1", service_state=ServiceState.READY, routing_state=routing_state)


def endpoint(**fields: Any) -> Endpoint:
    defaults: dict[str, Any] = {"ip": "10.0.0.1", "is_ready": True, "ports": {"play": 9000}}
    return Endpoint(namespace="play", name="game-1", resource_version=1, **defaults | fields)


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
def test_endpoint_is_ip_and_port(port: int | str | None, ip: str, expected: str) -> None:
    assert link_address(link(1), route(port=port), pod_status(), endpoint(ip=ip)).endpoint == expected


def test_host_is_set_if_the_link_status_names_the_same_pod() -> None:
    address = Address("game-1", "10.0.0.1", None, None)
    assert link_address(link(1), route(), pod_status(), endpoint()) == address
    assert link_address(link(1, status=BOUND), route(), pod_status(), endpoint()).host == "game-1.game.play.svc"
    assert link_address(link(2, status=BOUND), route(), pod_status(), endpoint()).host is None


def test_pod_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(PodNotFoundError, match="the pod 'game-1' of the service 'game' is not there now"):
        link_address(link(1), route(), pod_status(), None)


def test_pod_without_an_ip_has_not_started() -> None:
    message = "the pod 'game-1' of the service 'game' has not started: it has no IP address yet"
    with pytest.raises(PodNotRoutableError, match=message):
        link_address(link(1), route(), pod_status(), endpoint(ip="", is_ready=False))


@pytest.mark.parametrize(
    ("state", "is_ready"), [(RoutingState.SHUTDOWN, True), (RoutingState.READY, False)], ids=["shut down", "not ready"]
)
def test_pod_that_serves_no_users_is_not_routable(state: RoutingState, is_ready: bool) -> None:
    with pytest.raises(PodNotRoutableError, match="the pod 'game-1' of the service 'game' does not serve users now"):
        link_address(link(1), route(), pod_status(state), endpoint(is_ready=is_ready))


def test_draining_pod_is_routable() -> None:
    assert link_address(link(1), route(), pod_status(RoutingState.DENY_NEW_CALL), endpoint()).ip == "10.0.0.1"
