"""Reads the state of every cluster."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.guardian_client import GuardianClient
from localcluster.kubectl import run_kubectl
from localcluster.nodes import is_ready
from localcluster.state import Record, clean_up_leftovers, folders, read_record

STARTING = "starting or stopping"
READY = "ready"
UNREADY = "not ready"


@dataclass(frozen=True, slots=True)
class Status:
    """The state of one cluster; before it is ready only the name is known.

    Attributes:
        name: The name of the cluster.
        state: One of `READY`, `UNREADY` (its API server does not report that it is ready) and `STARTING`.
        provider: The provider that started it.
        server: The URL of its API server.
        version: The API server's version.
        kubeconfig: The administrator's kubeconfig.
        age_seconds: Seconds since it became ready.
        parts: Each of its processes: `running`, or how it ended.
        nodes: The number of nodes.
        nodes_ready: The number of ready nodes.
    """

    name: str
    state: str
    provider: str | None = None
    server: str | None = None
    version: str | None = None
    kubeconfig: str | None = None
    age_seconds: int = 0
    parts: dict[str, str] | None = None
    nodes: int = 0
    nodes_ready: int = 0


def all_clusters() -> list[Status]:
    """Returns the state of every cluster, sorted by name; cleans up what crashed ones left first."""
    clean_up_leftovers()
    return [_status(folder, read_record(folder)) for folder in folders()]


def _status(folder: Path, record: Record | None) -> Status:
    if record is None:
        return Status(folder.name, STARTING)
    kubectl, kubeconfig = Path(record.kubectl), Path(record.kubeconfig)
    responds = run_kubectl(kubectl, kubeconfig, "get", "--raw", "/readyz") is not None
    output = run_kubectl(kubectl, kubeconfig, "get", "nodes", "--output=json") if responds else None
    nodes = json.loads(output)["items"] if output else []
    return Status(
        name=record.name,
        state=READY if responds else UNREADY,
        provider=record.provider,
        server=record.server,
        version=record.version,
        kubeconfig=record.kubeconfig,
        age_seconds=int((datetime.now(UTC) - datetime.fromisoformat(record.created)).total_seconds()),
        parts=_parts(folder),
        nodes=len(nodes),
        nodes_ready=sum(map(is_ready, nodes)),
    )


def _parts(folder: Path) -> dict[str, str]:
    try:
        parts = GuardianClient(folder).parts()
    except LocalClusterError:
        return {}
    return {name: "running" if part.ended is None else f"ended ({part.ended})" for name, part in parts.items()}
