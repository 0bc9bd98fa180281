"""Decodes StatefulRoutes."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

from statefulroute.api.annotations import LOSS_CONFIRMED_AT
from statefulroute.api.group import API_VERSION, STATEFUL_ROUTE
from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.api.statefulroute import StatefulRouteSpec
from statefulroute.api.vocabulary import LoadSource, PodLostAction, RoutingState
from statefulroute.cluster.codec.objects import EMPTY, CamelStruct, Metadata
from statefulroute.cluster.field_logger import get_logger
from statefulroute.cluster.model_reader import read_model
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.domain.route import Route
from statefulroute.domain.times import parse_time

log = get_logger(__name__)


class _Route(CamelStruct, kw_only=True):
    metadata: Metadata
    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: dict[str, Any] = msgspec.field(default_factory=dict)


def _make_route(route: _Route) -> Route:
    metadata = route.metadata
    status, _ = read_model(StatefulRouteStatus, route.status)  # the next status update replaces what is left out
    spec, unknown = read_route_spec(route.spec)
    if unknown:
        log_unknown_values(metadata.namespace, metadata.name, metadata.generation, unknown)
    return Route(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        resource_version=int(metadata.resource_version),
        generation=metadata.generation,
        spec=spec,
        status=status,
        is_deleting=metadata.deletion_timestamp is not None,
        loss_confirmed_at=loss_confirmed_at(metadata.annotations),
    )


def loss_confirmed_at(annotations: Mapping[str, str] | None) -> datetime | None:
    """Returns when a person confirmed the losses of a route's pods; None if it was not confirmed."""
    return parse_time((annotations or EMPTY).get(LOSS_CONFIRMED_AT))


def read_route_spec(spec: Mapping[str, Any]) -> tuple[StatefulRouteSpec, tuple[str, ...]]:
    """Reads the spec of a route; returns it and the fields whose values this version does not know.

    Raises:
        ValueError: the reference to the workload is invalid, or too much is.
    """
    read, left_out = read_model(StatefulRouteSpec, spec, required=frozenset({"workloadRef"}))
    return read, (*left_out, *_unknown_settings(read))


def _unknown_settings(spec: StatefulRouteSpec) -> Iterator[str]:
    """Yields the fields whose value this version does not know."""
    if spec.routing_state is RoutingState.UNKNOWN:
        yield "routingState"
    if spec.load.source is LoadSource.UNKNOWN:
        yield "load.source"
    if spec.on_pod_lost.action is PodLostAction.UNKNOWN:
        yield "onPodLost.action"


@lru_cache(maxsize=1024)
def log_unknown_values(namespace: str, name: str, generation: int, fields: tuple[str, ...]) -> None:
    """Logs the fields of a route that this version does not understand, once for each generation."""
    log.warning(
        "a route has values that this version does not know",
        namespace=namespace,
        name=name,
        generation=generation,
        fields=fields,
    )


ROUTES = ResourceType(f"/apis/{API_VERSION}/{STATEFUL_ROUTE.plural}", _Route, _make_route)
