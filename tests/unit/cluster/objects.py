"""Kubernetes objects in JSON, lists and watch events."""

from typing import Any

CREATED = "2026-01-01T00:00:00Z"


def metadata(name: str, version: int = 1, **more: Any) -> dict[str, Any]:
    """Returns the metadata of an object, with fields that the decoders skip."""
    return {
        "name": name,
        "namespace": "games",
        "uid": f"uid-of-{name}",
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": CREATED,
        "managedFields": [{"manager": "kubectl", "operation": "Update"}],
        **more,
    }


def pod(name: str, version: int = 1, phase: str = "Running", **more: Any) -> dict[str, Any]:
    """Returns a pod."""
    return {"metadata": metadata(name, version, **more), "spec": {"containers": []}, "status": {"phase": phase}}


def link(name: str = "game.alice", version: int = 1, **spec: Any) -> dict[str, Any]:
    """Returns a PodLink of the route `game`."""
    return {"metadata": metadata(name, version), "spec": {"routeName": "game", "uid": "alice", **spec}}


def route(name: str = "game", version: int = 1, **spec: Any) -> dict[str, Any]:
    """Returns a StatefulRoute."""
    return {"metadata": metadata(name, version), "spec": spec}


def page(items: list[Any], version: int, next_page: str = "") -> dict[str, Any]:
    """Returns a page of a list."""
    return {"kind": "List", "metadata": {"resourceVersion": str(version), "continue": next_page}, "items": items}


def event(kind: str, item: object) -> dict[str, Any]:
    """Returns an event of a watch."""
    return {"type": kind, "object": item}


def bookmark(version: int) -> dict[str, Any]:
    """Returns a bookmark event."""
    return event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": str(version)}})
