"""Objects of the two kinds, valid by default."""

from typing import Any

from statefulroute.api.group import API_VERSION

#: Marks a field to omit.
ABSENT: Any = object()


def encoded_name(route_name: str, uid: str) -> str:
    """Returns the name of a link whose uid is not valid in a name."""
    return f"{route_name}.x-{uid.encode().hex()}"


def pod_link(name: str | None = None, **spec: Any) -> dict[str, Any]:
    """Returns a PodLink of alice in game; its default name is `<routeName>.<uid>`."""
    fields = {"routeName": "game", "uid": "alice", **spec}
    return {
        "apiVersion": API_VERSION,
        "kind": "PodLink",
        "metadata": {"name": name or f"{fields['routeName']}.{fields['uid']}"},
        "spec": {field: value for field, value in fields.items() if value is not ABSENT},
    }


def stateful_route(name: str = "game", **spec: Any) -> dict[str, Any]:
    """Returns a StatefulRoute named game."""
    return {"apiVersion": API_VERSION, "kind": "StatefulRoute", "metadata": {"name": name}, "spec": spec}


def condition(**fields: Any) -> dict[str, Any]:
    """Returns a Ready condition."""
    return {
        "type": "Ready",
        "status": "True",
        "reason": "Bound",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        **fields,
    }
