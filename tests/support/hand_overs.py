"""Hand-overs of users as plain clients ask for them and commit them."""

from typing import Any

from support.independent_client import PodLink
from support.service import Service
from support.waiting import eventually

LONG = {"timeoutSeconds": 600}
SHORT = {"timeoutSeconds": 1}
START_TIME = "2026-01-01T12:00:00Z"


def start(service: Service, pods: int = 2, **route: Any) -> None:
    """Creates pods and a route with hand-overs."""
    service.create_pods(pods)
    service.create_route(**{"handOver": LONG, "onPodLost": {"graceSeconds": 3600}, **route})
    service.await_pods(pods)


def ask(service: Service, link: str, pod: int) -> None:
    """Asks for a hand-over, as `kubectl statefulroute move --hand-over` does."""
    patch(service, link, handOver={"podIndex": pod, "startTime": START_TIME})


def patch(service: Service, link: str, **spec: Any) -> None:
    service.client.patch(PodLink, link, service.namespace, {"spec": spec})


def commit(service: Service, link: str, pod: int) -> None:
    """Commits a hand-over as the old pod's driver does: only if nobody has changed the link."""
    version = service.get(link)["metadata"]["resourceVersion"]
    change = {"metadata": {"resourceVersion": version}, "spec": {"podIndex": pod, "handOver": None}}
    service.client.patch(PodLink, link, service.namespace, change)


def await_handed_over(service: Service, link: str, pod: int) -> dict[str, Any]:
    """Waits until a link is bound to a pod, and returns how it left the one before; nothing of it is left."""
    eventually(lambda: service.get(link)["status"].get("podIndex") == pod, f"{link} is on pod {pod}")
    service.await_bound(link)
    assert "handOver" not in service.get(link)["spec"]
    previous = service.get(link)["status"]["previous"]
    return {key: previous.get(key) for key in ("podIndex", "reason", "cause")}


def note_of(service: Service, link: str, reason: str) -> tuple[str, str]:
    """Returns the type and the note of an event of a link."""

    def found() -> list[tuple[str, str]]:
        return [(kind, note) for kind, each, note in service.events_of(link) if each == reason]

    eventually(found, f"the event {reason} of {link}")
    return found()[-1]
