"""Objects for tests of the console without a cluster."""

from datetime import UTC, datetime
from typing import Any, cast

from statefulroute.cli.cluster import Cluster
from statefulroute.cli.link_changes import LinkState
from statefulroute.cluster.client import Client
from statefulroute.console.namespaces import Scope
from statefulroute.console.routes import RouteRecord, make_record
from statefulroute.console.security import Access
from statefulroute.console.server import ConsoleServer
from statefulroute.console.watcher import Watcher
from support.objects import stateful_route

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def synced_watcher() -> Watcher:
    """A watcher that has listed all objects, of which there are none; tests put them into its caches."""
    watcher = Watcher(cast("Client", None), ())
    for reflector in watcher.reflectors:
        reflector.synced.set()
    return watcher


def console_server(watcher: Watcher, host: str = "127.0.0.1") -> ConsoleServer:
    """A server of what a watcher has, without a cluster."""
    return ConsoleServer(Cluster(cast("Client", None), "play"), watcher, Scope((), "all namespaces"), Access(host))


def route_record(name: str = "game", *, version: int = 1, status: Any = None, **spec: Any) -> RouteRecord:
    """A route in the namespace `play`, which is Ready unless a status is given."""
    ready = {"type": "Ready", "status": "True", "reason": "Routable", "message": "all pods serve users"}
    item = stateful_route(name, port=80, **spec)
    item["metadata"] |= {
        "namespace": "play",
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    item["status"] = {"observedGeneration": 1, "conditions": [ready]} if status is None else status
    return make_record(item)


def link_state(uid: str, pod: int | str | None = 0, *, version: int = 1, **fields: Any) -> LinkState:
    """A bound link of the route `game` in the namespace `play`."""
    route = fields.setdefault("route", "game")
    name = fields.pop("name", f"{route}.x-{uid.encode().hex()}")
    bound = {"namespace": "play", "phase": "Bound", "reason": "Bound", "is_observed": True}
    return LinkState(name=name, subject=uid, resource_version=version, pod=pod, **(bound | fields))
