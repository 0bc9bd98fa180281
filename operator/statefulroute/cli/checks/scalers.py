"""Checks whether HorizontalPodAutoscalers can scale the routes that they name."""

from collections.abc import AsyncIterator
from http import HTTPStatus

from statefulroute.api.group import GROUP, STATEFUL_ROUTE
from statefulroute.cli.checks.results import CheckResult, Level
from statefulroute.cli.cluster import Cluster, Object
from statefulroute.cli.objects import namespaced_name
from statefulroute.cluster.errors import APIError, NotFoundError

_SCALERS = "scalers"


async def check_scalers(cluster: Cluster) -> AsyncIterator[CheckResult]:
    """Check the HorizontalPodAutoscalers of routes; there is no result if the user may not list them."""
    within = f"/namespaces/{cluster.namespace}" if cluster.namespace else ""
    try:
        scalers = [each async for each in cluster.objects(f"/apis/autoscaling/v2{within}/horizontalpodautoscalers")]
    except NotFoundError:
        return
    except APIError as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        return
    for scaler in scalers:
        target = scaler["spec"]["scaleTargetRef"]
        if target["kind"] != STATEFUL_ROUTE.kind or not target.get("apiVersion", "").startswith(f"{GROUP}/"):
            continue
        version = target["apiVersion"].partition("/")[2]
        path = f"/apis/{GROUP}/{version}/namespaces/{scaler['metadata']['namespace']}"
        try:
            route = await cluster.get(f"{path}/{STATEFUL_ROUTE.plural}/{target['name']}")
        except NotFoundError:
            continue  # the status of the HorizontalPodAutoscaler shows it
        if result := _check_scaler(scaler, route):
            yield result


def _check_scaler(scaler: Object, route: Object) -> CheckResult | None:
    name, spec = namespaced_name(route), route["spec"]
    who = f"HorizontalPodAutoscaler {scaler['metadata']['name']!r}"
    if "autoscaling" in spec:
        message = f"{name} has two scalers, the {who} and spec.autoscaling"
        return CheckResult(_SCALERS, Level.PROBLEM, message, "remove one of them", 1, name)
    if "replicas" not in spec:
        message = (
            f"{name} cannot be scaled by the {who}: its spec.replicas is not set, and the API server returns no scale "
            "(error 500) before it is"
        )
        fix = f"set it once: statefulroute scale {route['metadata']['name']} REPLICAS"
        return CheckResult(_SCALERS, Level.PROBLEM, message, fix, 1, name)
    return None
