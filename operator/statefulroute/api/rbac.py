"""What the operator, servers and clients may do in the cluster: exactly what they use."""

from typing import Any

from statefulroute.api.group import GROUP, POD_LINK, STATEFUL_ROUTE

REPORT_VERB = "report"
"""A verb on StatefulRoutes that no request has: whoever may do it is a server, and reports on its own pod only."""

_LIST_WATCH = ["list", "watch"]
_READ = ["get", *_LIST_WATCH]
#: Bind users, renew, rebind and release their links.
_MANAGE_LINKS = [*_READ, "create", "patch", "delete"]


#: What the operator's Lease is called unless another name is given.
DEFAULT_LEASE_NAME = "statefulroute-operator"


def operator_cluster_role() -> dict[str, Any]:
    """The ClusterRole of an operator that serves the whole cluster, ready to be applied."""
    # Nodes are in no namespace: an operator that serves some namespaces does without them.
    return _cluster_role("statefulroute-operator", [*_operator_rules(), _policy_rule("", ["nodes"], _LIST_WATCH)])


def operator_role() -> dict[str, Any]:
    """The Role of an operator that serves some namespaces only, to be applied in each of them."""
    return _role(
        "statefulroute-operator",
        "For an operator that is started with --watch-namespace, in each namespace that it serves.",
        _operator_rules(),
    )


def lease_role(lease: str = DEFAULT_LEASE_NAME) -> dict[str, Any]:
    """The Role by which operators agree who works, in the namespace of their Lease."""
    return _role(
        f"{lease}-lease",
        "For operators: one of them holds the Lease and works, the others stand by.",
        [
            # A name cannot be told apart in a request that creates.
            _policy_rule("coordination.k8s.io", ["leases"], ["create"]),
            {**_policy_rule("coordination.k8s.io", ["leases"], [*_READ, "patch"]), "resourceNames": [lease]},
        ],
    )


def release_cluster_role() -> dict[str, Any]:
    """The ClusterRole of `statefulroute release`, which takes the operator's marks off the whole cluster."""
    return _cluster_role("statefulroute-release", _release_rules())


def release_role() -> dict[str, Any]:
    """The Role of `statefulroute release` in one namespace whose routes it takes the operator's marks off."""
    return _role("statefulroute-release", "For `statefulroute release`, where routes are.", _release_rules())


def stop_role(operator: str) -> dict[str, Any]:
    """The Role of `statefulroute release --operator`, in the operator's namespace.

    Args:
        operator: the name of the operator's Deployment.
    """
    return _role(
        f"{operator}-stop",
        "For `statefulroute release --operator`, which stops the operator first.",
        [
            {**_policy_rule("apps", ["deployments"], ["get"]), "resourceNames": [operator]},
            {**_policy_rule("apps", ["deployments/scale"], ["patch"]), "resourceNames": [operator]},
            _policy_rule("", ["pods"], ["list"]),
        ],
    )


def _operator_rules() -> list[dict[str, Any]]:
    """What the operator does in the namespaces that it serves."""
    return [
        # The links: follow them all, bind the ones that leave the choice, move, end and acknowledge them.
        _policy_rule(GROUP, [POD_LINK.plural], [*_LIST_WATCH, "patch", "delete"]),
        _policy_rule(GROUP, [f"{POD_LINK.plural}/status"], ["patch"]),
        # The routes: follow them all, say their state. `patch` on the route itself is kopf's finalizer.
        _policy_rule(GROUP, [STATEFUL_ROUTE.plural], [*_LIST_WATCH, "patch"]),
        _policy_rule(GROUP, [f"{STATEFUL_ROUTE.plural}/status"], ["patch"]),
        # Where the users are held. `patch` is for the notes of load and workload state.
        _policy_rule("", ["pods"], [*_LIST_WATCH, "patch"]),
        _policy_rule("apps", ["statefulsets"], [*_LIST_WATCH, "patch"]),
        # Of any other workload its scale is read; other kinds than these need rights of their own.
        _policy_rule("apps", ["deployments", "replicasets"], ["get", "patch"]),
        _policy_rule("apps", ["deployments/scale", "replicasets/scale"], ["get"]),
        # What people read in `kubectl describe`.
        _policy_rule("events.k8s.io", ["events"], ["create"]),
    ]


def _release_rules() -> list[dict[str, Any]]:
    """What `statefulroute release` does where routes are."""
    return [
        _policy_rule(GROUP, [STATEFUL_ROUTE.plural], ["get", "list", "patch"]),
        _policy_rule("", ["pods"], ["get", "patch"]),
        _policy_rule("apps", ["statefulsets", "deployments", "replicasets"], ["get", "patch"]),
    ]


def server_role() -> dict[str, Any]:
    """The Role of the pods that hold users, in the namespace where it is applied."""
    return _role(
        "statefulroute-server",
        # Said where it can be read before it is applied: a Role alone cannot hold a server to its own pod.
        "For the pods of a stateful service. Apply deploy/admission first: without its policy own-pod, this Role lets "
        "every pod that has it change all pods of the namespace.",
        [
            _policy_rule(GROUP, [POD_LINK.plural], _MANAGE_LINKS),
            _policy_rule(GROUP, [STATEFUL_ROUTE.plural], [*_READ, REPORT_VERB]),
            # `patch` is for the report, and held to it, and to the server's own pod, by the policy `own_pod`.
            _policy_rule("", ["pods"], ["get", "patch"]),
        ],
    )


def client_role() -> dict[str, Any]:
    """The Role of an application that calls servers, in the namespace where it is applied."""
    return _role(
        "statefulroute-client",
        "For applications that look up, bind and release the users of the stateful services in their namespace.",
        [
            _policy_rule(GROUP, [POD_LINK.plural], _MANAGE_LINKS),
            _policy_rule(GROUP, [STATEFUL_ROUTE.plural], _READ),
            # Where to call: a pod's address and port.
            _policy_rule("", ["pods"], _READ),
        ],
    )


def resolver_cluster_role() -> dict[str, Any]:
    """The ClusterRole of a resolver that answers for the whole cluster."""
    return _cluster_role("statefulroute-resolver", _resolver_rules())


def resolver_role() -> dict[str, Any]:
    """The Role of a resolver that answers for some namespaces only, to be applied in each of them."""
    return _role(
        "statefulroute-resolver",
        "For a resolver that is started with --watch-namespace, in each namespace that it answers for.",
        _resolver_rules(),
    )


def resolver_tokens_cluster_role() -> dict[str, Any]:
    """The ClusterRole of a resolver that lets callers in by their tokens, beside the one above."""
    # Whose token it is, the whole cluster's API server is asked: there is no Role for it.
    return _cluster_role(
        "statefulroute-resolver-tokens", [_policy_rule("authentication.k8s.io", ["tokenreviews"], ["create"])]
    )


def _resolver_rules() -> list[dict[str, Any]]:
    """What the resolver does in the namespaces that it answers for."""
    return [
        # The links: read them all, bind who is new, renew those in use. It releases nobody.
        _policy_rule(GROUP, [POD_LINK.plural], [*_READ, "create", "patch"]),
        # Which pods there are, whom they take, and where they are.
        _policy_rule(GROUP, [STATEFUL_ROUTE.plural], _LIST_WATCH),
        _policy_rule("", ["pods"], _LIST_WATCH),
    ]


def _cluster_role(name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": rules,
    }


def _role(name: str, description: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name, "annotations": {"kubernetes.io/description": description}},
        "rules": rules,
    }


def _policy_rule(group: str, resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}
