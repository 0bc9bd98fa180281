"""Checks that the StatefulRoute of a server pod exists, and that the pod is one of its pods."""

import asyncio
from contextlib import suppress

from statefulroute.api.group import GROUP
from statefulroute.domain.errors import InvalidParameterError, ServiceNotFoundError
from statefulroute.domain.route import Route
from statefulroute.driver.parts import Routes, ServerParts

#: The label of a pod that names its StatefulRoute.
ROUTE_LABEL = f"{GROUP}/route"

_CORRECTION = f"correct STATEFULROUTE_NAME, or the pod's label {ROUTE_LABEL}"


async def check_service(parts: ServerParts, seconds: float) -> None:
    """Checks the service of a server pod.

    Args:
        parts: the parts of its driver.
        seconds: how long to wait for the route, which may be created after the pod.

    Raises:
        ServiceNotFoundError: the route does not exist.
        InvalidParameterError: the pod belongs to another workload than that of the route.
    """
    server = parts.server
    route = await _wait_for_route(parts.routes, server.service, seconds)
    if route is None:
        raise ServiceNotFoundError(
            f"there is no StatefulRoute {server.service!r} in namespace {server.namespace!r}: create it, or "
            f"{_CORRECTION}"
        )
    if server.owner is not None and not _owns(route, *server.owner):
        kind, name = server.owner
        raise InvalidParameterError(
            "STATEFULROUTE_NAME",
            f"is {server.service!r}, which routes to the pods of {route.workload_key.kind} {route.workload_name!r}, "
            f"but the pod {server.pod_name!r} belongs to {kind} {name!r}: {_CORRECTION}",
        )


async def _wait_for_route(routes: Routes, name: str, seconds: float) -> Route | None:
    known = asyncio.Event()
    unlisten = routes.listen(name, known.set)
    try:
        if routes.get(name) is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await known.wait()
    finally:
        unlisten()
    return routes.get(name)


def _owns(route: Route, kind: str, name: str) -> bool:
    """Returns whether the workload of a route may have a pod with this controller."""
    if kind == route.workload_key.kind:
        return name == route.workload_name
    if kind != "ReplicaSet":  # of a workload that is not one of Kubernetes
        return True
    # A Deployment has its pods by ReplicaSets, whose names are its own and a hash.
    return route.workload_key.kind != "StatefulSet" and name.rpartition("-")[0] == route.workload_name
