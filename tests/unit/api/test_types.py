"""The kinds as Python types: they read what the API server stores, and write what it takes."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from statefulroute.api.group import API_VERSION
from statefulroute.api.podlink import PodLink, PodLinkSpec
from statefulroute.api.statefulroute import StatefulRoute, StatefulRouteSpec
from statefulroute.api.vocabulary import LinkPhase, PodLostAction, RoutingState


def test_a_link_is_read_as_it_is_stored() -> None:
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


def test_a_link_is_written_in_camel_case() -> None:
    spec = PodLinkSpec(route_name="game", uid="alice", pod_index=2)
    assert spec.model_dump(by_alias=True, exclude_none=True) == {"routeName": "game", "uid": "alice", "podIndex": 2}


def test_a_route_that_says_nothing_has_the_defaults_of_its_definition() -> None:
    spec = StatefulRoute.model_validate({"spec": {}}).spec
    assert spec == StatefulRouteSpec() == StatefulRoute().spec
    assert (spec.routing_state, spec.on_pod_lost.action) == (RoutingState.READY, PodLostAction.REBIND)


def test_fields_of_a_later_version_are_passed_over() -> None:
    spec = PodLinkSpec.model_validate({"routeName": "game", "uid": "alice", "colour": "red"})
    assert spec == PodLinkSpec(route_name="game", uid="alice")


def test_a_part_of_an_object_cannot_be_changed_in_place() -> None:
    spec = PodLinkSpec(route_name="game", uid="alice")
    with pytest.raises(ValidationError, match="frozen"):
        spec.pod_index = 1  # type: ignore[misc]  # that it is refused is the point


@pytest.mark.parametrize(
    "wrong",
    [{"podIndex": -1}, {"podIndex": 2**31}, {"ttlSeconds": 0}, {"uid": ""}, {"renewTime": "yesterday"}],
    ids=str,
)
def test_a_value_that_the_api_server_refuses_is_refused_here_too(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PodLinkSpec.model_validate({"routeName": "game", "uid": "alice", **wrong})


def test_a_moment_keeps_its_microseconds() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=123456)
    written = PodLinkSpec(route_name="game", uid="alice", ttl_seconds=1, renew_time=moment).model_dump_json()
    assert PodLinkSpec.model_validate_json(written).renew_time == moment
