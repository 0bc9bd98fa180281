"""Whether a route requires its pods to report their load, and whether they do."""

from functools import cache

from statefulroute.api.vocabulary import ConditionType, LoadSource, RouteReason
from statefulroute.cli.cluster import Object
from statefulroute.cli.objects import condition


@cache
def _defaults() -> Object:
    """Returns the defaults of `spec.load`."""
    from statefulroute.api.load import LoadSettings  # noqa: PLC0415 - commands send their first request before

    return LoadSettings().model_dump(mode="json", by_alias=True)


def has_no_load(route: Object) -> bool:
    """Returns whether pods serve users and none of them has reported its load lately."""
    return condition(route, ConditionType.LOAD_FRESH).get("reason") == RouteReason.NO_LOAD_REPORTED


def requires_load(route: Object) -> bool:
    """Returns whether the pods have to report their load: `spec.load` is configured, or they reported it before.

    A spec does not tell a default that was written from one that the API server filled in.
    """
    settings = route["spec"].get("load", {})
    return any(_defaults().get(name) != value for name, value in settings.items()) or has_reported_load(route)


def is_polled(route: Object) -> bool:
    """Returns whether the operator polls the load of the pods."""
    return bool(route["spec"].get("load", {}).get("source") == LoadSource.HTTP)


def has_reported_load(route: Object) -> bool:
    """Returns whether a present pod has ever reported its load."""
    status = route["status"]
    omitted = status.get("omittedPods", {})
    counted = omitted.get("freshLoad", 0) + omitted.get("staleLoad", 0)
    return counted > 0 or any("reportTime" in pod for pod in status.get("pods", ()))
