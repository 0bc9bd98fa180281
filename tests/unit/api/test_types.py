"""The API types in Python."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from statefulroute.api.group import API_VERSION
from statefulroute.api.podlink import PodLink, PodLinkSpec
from statefulroute.api.statefulroute import StatefulRoute, StatefulRouteSpec
from statefulroute.api.vocabulary import LinkPhase, PodLostAction, RoutingState


def test_stored_link_is_parsed() -> None:
    link = PodLink.model_validate(
        {
            "apiVersion": API_VERSION,
            "kind": "PodLink",
            "metadata": {"name": "game.alice"},
            "spec": {"routeName": "game", "uid": "alice", "ttlSeconds": 60, "renewTime": "2026-01-01T02:00:00+02:00"},
            "status": {"phase": "Bound", "podIndex": 2},
        }
    )
    assert link.spec.renew_time == datetime(2026, 1, 1, tzinfo=UTC)
    assert link.status is not None
    assert link.status.phase is LinkPhase.BOUND


def test_link_is_serialized_in_camel_case() -> None:
    spec = PodLinkSpec(route_name="game", uid="alice", pod_index=2)
    assert spec.model_dump(by_alias=True, exclude_none=True) == {"routeName": "game", "uid": "alice", "podIndex": 2}


def test_empty_route_has_the_defaults_of_the_crd() -> None:
    spec = StatefulRoute.model_validate({"spec": {}}).spec
    assert spec == StatefulRouteSpec() == StatefulRoute().spec
    assert (spec.routing_state, spec.on_pod_lost.action) == (RoutingState.READY, PodLostAction.REBIND)


def test_unknown_fields_are_ignored() -> None:
    spec = PodLinkSpec.model_validate({"routeName": "game", "uid": "alice", "colour": "red"})
    assert spec == PodLinkSpec(route_name="game", uid="alice")


def test_types_are_immutable() -> None:
    spec = PodLinkSpec(route_name="game", uid="alice")
    with pytest.raises(ValidationError, match="frozen"):
        spec.pod_index = 1  # type: ignore[misc]  # the test asserts that it fails


@pytest.mark.parametrize(
    "invalid_fields",
    [{"podIndex": -1}, {"podIndex": 2**31}, {"ttlSeconds": 0}, {"uid": ""}, {"renewTime": "yesterday"}],
    ids=str,
)
def test_values_that_the_api_server_rejects_are_rejected(invalid_fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PodLinkSpec.model_validate({"routeName": "game", "uid": "alice", **invalid_fields})


def test_time_keeps_its_microseconds() -> None:
    time = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=123456)
    serialized = PodLinkSpec(route_name="game", uid="alice", ttl_seconds=1, renew_time=time).model_dump_json()
    assert PodLinkSpec.model_validate_json(serialized).renew_time == time
