"""What the operator may do in the cluster: exactly what it uses."""

from typing import Any

from statefulroute.api.group import GROUP, POD_LINK, STATEFUL_ROUTE

_NAME = "statefulroute-operator"


def operator_cluster_role() -> dict[str, Any]:
    """The ClusterRole of the operator, ready to be applied."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": _NAME},
        "rules": [
            # The links: read them all, bind the ones that leave the choice, move, end and acknowledge them.
            _allow(GROUP, [POD_LINK.plural], ["get", "list", "watch", "patch", "delete"]),
            _allow(GROUP, [f"{POD_LINK.plural}/status"], ["patch"]),
            # The routes: read them all, say their state. `patch` on the route itself is kopf's finalizer.
            _allow(GROUP, [STATEFUL_ROUTE.plural], ["get", "list", "watch", "patch"]),
            _allow(GROUP, [f"{STATEFUL_ROUTE.plural}/status"], ["patch"]),
            # Where the users are held.
            _allow("", ["pods", "nodes"], ["list", "watch"]),
            _allow("apps", ["statefulsets"], ["list", "watch"]),
            # What people read in `kubectl describe`.
            _allow("events.k8s.io", ["events"], ["create"]),
        ],
    }


def _allow(group: str, resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}
