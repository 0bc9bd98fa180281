"""Converts objects of the cluster's store to rows of the record."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from chaos.record import SLOT_KEY, Definition, Lease, Link, Node, Pod, Route, Workload
from failover.pair import LEASE, NAMESPACE

#: An object as it is stored; None if it was deleted.
Item = Mapping[str, Any] | None

StoredRow = Link | Route | Pod | Node | Workload | Lease | Definition


@dataclass(frozen=True, slots=True)
class StoreKey:
    """The key of an object in the store.

    Attributes:
        resource: its kind, as in the store's keys.
        namespace: its namespace; empty for cluster-scoped kinds.
        name: its name.
        shared_namespace: the fixed namespace of its kind, independent of the namespace of the services.
    """

    resource: str
    namespace: str
    name: str

    @classmethod
    def parse(cls, key: str) -> Self | None:
        """Returns the parsed key; None for a kind that is not recorded."""
        for resource, (is_namespaced, _) in _KINDS.items():
            prefix = f"/registry/{resource}/"
            if key.startswith(prefix):
                namespace, _, name = key.removeprefix(prefix).rpartition("/")
                return cls(resource, namespace, name) if bool(namespace) == is_namespaced else None
        return None

    @property
    def shared_namespace(self) -> str:
        return NAMESPACE if self.resource == "leases" else ""


def row_of(key: StoreKey, item: Item, revision: int, at: float) -> StoredRow:
    """Returns the row for a version of an object, or for its deletion."""
    _, make = _KINDS[key.resource]
    return make(key.name, item, revision, at)


def _link(name: str, item: Item, revision: int, at: float) -> Link:
    if item is None:
        return Link(at, revision, name, is_gone=True)
    metadata, spec, status = item["metadata"], item["spec"], item.get("status", {})
    previous, slot = status.get("previous"), spec.get("slot")
    return Link(
        at,
        revision,
        name,
        object=metadata["uid"],
        key=(spec["routeName"], spec["uid"] if slot is None else f"{SLOT_KEY}{slot}"),
        slot=slot,
        owner=next((each["name"] for each in metadata.get("ownerReferences", ())), ""),
        pod=spec.get("podIndex"),
        status_pod=status.get("podIndex"),
        phase=status.get("phase", ""),
        reason=_condition(status, "Ready").get("reason", ""),
        generation=metadata["generation"],
        observed=status.get("observedGeneration", 0),
        previous=(previous.get("podIndex"), previous.get("reason", "")) if previous else None,
        expires=_expires(metadata, spec),
        hand_over=_hand_over(spec),
    )


def _hand_over(spec: Mapping[str, Any]) -> tuple[int | None, str] | None:
    hand_over = spec.get("handOver")
    return (hand_over.get("podIndex"), hand_over.get("startTime", "")) if hand_over else None


def _expires(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> float | None:
    if spec.get("ttlSeconds") is None:
        return None
    start = spec.get("renewTime") or metadata["creationTimestamp"]
    return datetime.fromisoformat(start).timestamp() + float(spec["ttlSeconds"])


def _route(name: str, item: Item, revision: int, at: float) -> Route:
    spec = (item or {}).get("spec", {})
    lost, hand_over = spec.get("onPodLost", {}), spec.get("handOver")
    not_ready_seconds = float(lost.get("notReadySeconds", 300)) or math.inf
    grace_seconds = float(lost.get("graceSeconds", 30))
    return Route(
        at,
        revision,
        name,
        lost.get("action", "Rebind"),
        grace_seconds,
        not_ready_seconds,
        hand_over_seconds=None if hand_over is None else float(hand_over["timeoutSeconds"]),
        shut_down=_pods_with(spec, "Shutdown"),
        denied=_pods_with(spec, "DenyNewCall"),
        slots=spec.get("slots"),
    )


def _pods_with(spec: Mapping[str, Any], state: str) -> tuple[int, ...]:
    return tuple(each["index"] for each in spec.get("pods", ()) if each["routingState"] == state)


def _pod(name: str, item: Item, revision: int, at: float) -> Pod:
    if item is None:
        return Pod(at, revision, name, "absent")
    is_ready = _condition(item.get("status", {}), "Ready").get("status") == "True"
    is_ending = "deletionTimestamp" in item["metadata"]
    state = "ready" if is_ready else "ending" if is_ending else "unready"
    return Pod(at, revision, name, state, item["spec"].get("nodeName", ""))


def _node(name: str, item: Item, revision: int, at: float) -> Node:
    is_ready = _condition((item or {}).get("status", {}), "Ready").get("status") == "True"
    return Node(at, revision, name, is_ready)


def _workload(name: str, item: Item, revision: int, at: float) -> Workload:
    return Workload(at, revision, name, int(item["spec"]["replicas"]) if item else 0)


def _lease(name: str, item: Item, revision: int, at: float) -> Lease:
    assert name == LEASE, f"there is another Lease: {name}"
    return Lease(at, revision, (item or {}).get("spec", {}).get("holderIdentity") or "")


def _definition(name: str, item: Item, revision: int, at: float) -> Definition:
    # The objects of a kind are deleted before the kind, once its deletion was requested.
    return Definition(at, revision, name, is_defined=item is not None and "deletionTimestamp" not in item["metadata"])


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((each for each in status.get("conditions", ()) if each["type"] == kind), {})


#: The recorded kinds by their prefix in keys: whether they are namespaced, and the function that makes a row.
_KINDS: dict[str, tuple[bool, Callable[[str, Item, int, float], StoredRow]]] = {
    "statefulroute.io/podlinks": (True, _link),
    "statefulroute.io/statefulroutes": (True, _route),
    "pods": (True, _pod),
    "minions": (False, _node),
    "statefulsets": (True, _workload),
    "leases": (True, _lease),
    "apiextensions.k8s.io/customresourcedefinitions": (False, _definition),
}
