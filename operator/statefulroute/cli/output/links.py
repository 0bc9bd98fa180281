"""Cells of links, which `links` and `whereis` share."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from statefulroute.api.vocabulary import LinkPhase
from statefulroute.cli.cluster import Object
from statefulroute.cli.output.table import EMPTY, Cell
from statefulroute.domain.link import expire_time
from statefulroute.domain.times import parse_time

_PHASE_STYLES: Mapping[str, str] = {
    LinkPhase.BOUND: "good",
    LinkPhase.HANDING_OVER: "warn",
    LinkPhase.PENDING: "warn",
    EMPTY: "",
}


def subject_label(link: Object) -> str:
    """Returns what a link binds: its uid, or `slot/<number>`."""
    slot = link["spec"].get("slot")
    return link["spec"].get("uid", EMPTY) if slot is None else f"slot/{slot}"


def pod_label(link: Object) -> str:
    """Returns the pod of a link; `#2` is the pod of index 2 whose name the operator has not written yet."""
    return _binding_label(link["spec"], link)


def previous_pod_label(link: Object) -> str:
    """Returns the pod before the present one."""
    return _binding_label(link.get("status", {}).get("previous", {}), link)


def next_pod_label(link: Object) -> str:
    """Returns the pod that the user is being handed over to."""
    return _binding_label(link["spec"].get("handOver", {}), link)


def _binding_label(binding: Mapping[str, Any], link: Object) -> str:
    """Returns the name of a pod; for an index, it is derived from the pod name in the status."""
    if "podIndex" not in binding:
        return str(binding.get("podName", EMPTY))
    status = link.get("status", {})
    known_name, suffix = status.get("podName", ""), f"-{status.get('podIndex')}"
    stem = known_name.removesuffix(suffix) if known_name.endswith(suffix) else ""
    return f"{stem}-{binding['podIndex']}" if stem else f"#{binding['podIndex']}"


def expire_time_label(link: Object) -> str:
    """Returns when a temporary link expires, in RFC 3339."""
    spec, creation_time = link["spec"], parse_time(link["metadata"]["creationTimestamp"])
    if creation_time is None:
        return EMPTY
    expires = expire_time(creation_time, parse_time(spec.get("renewTime")), spec.get("ttlSeconds"))
    return expires.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if expires else EMPTY


def phase_cell(link: Object) -> Cell:
    """Returns the phase of a link."""
    phase = link.get("status", {}).get("phase", EMPTY)
    return Cell(phase, _PHASE_STYLES.get(phase, "bad"))
