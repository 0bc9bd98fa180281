"""The RBAC roles of the operator, servers, clients, resolvers and people. Each grants exactly what its holder needs."""

from collections.abc import Iterable
from typing import Any

from statefulroute.api.group import GROUP, POD_LINK, STATEFUL_ROUTE

REPORT_VERB = "report"
"""A verb on StatefulRoutes that no request uses. It marks servers, which may report on their own pod only."""

OPERATOR_MARK = ("policy.statefulroute.io", "operatorwrites", "use")
"""The group, resource and verb of a right that no request uses. It marks operators, which may change only their own
annotations and labels of pods and workloads. A role with all verbs on links and routes does not grant it.
"""

#: The kinds of workloads that the operator may annotate; other kinds need additional rules.
WORKLOAD_RESOURCES = ("statefulsets", "deployments", "replicasets")

_LIST_WATCH = ["list", "watch"]
_READ = ["get", *_LIST_WATCH]
#: Create, renew, move and delete links.
_MANAGE_LINKS = [*_READ, "create", "patch", "delete"]

#: The name of the operator's Lease, unless another is set.
DEFAULT_LEASE_NAME = "statefulroute-operator"

#: The namespace of the operator's Lease, unless it uses the ServiceAccount of its pod or another is set.
DEFAULT_LEASE_NAMESPACE = "statefulroute-system"

#: The labels of every Lease of operators, by which `statefulroute check` finds them.
LEASE_LABELS = {"app.kubernetes.io/name": "statefulroute", "app.kubernetes.io/component": "operator"}


def operator_cluster_role(
    *, annotates: bool = True, plans_disruptions: bool = True, creates_slots: bool = True
) -> dict[str, Any]:
    """Returns the ClusterRole of an operator that serves the whole cluster.

    Args:
        annotates: whether the operator writes annotations on pods and workloads.
        plans_disruptions: whether the operator scales workloads, and guards pods against evictions.
        creates_slots: whether the operator creates the links of slots.
    """
    # Nodes are cluster-scoped, so an operator that serves only some namespaces does not watch them.
    rules = [*_operator_rules(), _policy_rule("", ["nodes"], _LIST_WATCH)]
    if annotates:
        rules += annotation_rules()
    if plans_disruptions:
        rules += disruption_rules()
    if creates_slots:
        rules += slot_rules()
    return _cluster_role("statefulroute-operator", rules)


def operator_role(
    *, annotates: bool = True, plans_disruptions: bool = True, creates_slots: bool = True
) -> dict[str, Any]:
    """Returns the Role of an operator that serves only some namespaces. Each of them needs the Role.

    Args:
        annotates: whether the operator writes annotations on pods and workloads.
        plans_disruptions: whether the operator scales workloads.
        creates_slots: whether the operator creates the links of slots.
    """
    return _role(
        "statefulroute-operator",
        "For an operator that runs with --watch-namespace, in each namespace that it serves. Apply deploy/admission "
        "first: without its policy operator-writes, this Role allows the operator to change all of these pods and "
        "workloads.",
        [
            *_operator_rules(),
            *(annotation_rules() if annotates else ()),
            *(scale_rules() if plans_disruptions else ()),
            *(slot_rules() if creates_slots else ()),
        ],
    )


def lease_role(lease: str = DEFAULT_LEASE_NAME) -> dict[str, Any]:
    """Returns the Role for leader election, in the namespace of the Lease."""
    return _role(
        f"{lease}-lease",
        "For operators: one of them holds the Lease and works, the others stand by.",
        [
            # RBAC cannot restrict `create` to a name.
            _policy_rule("coordination.k8s.io", ["leases"], ["create"]),
            {**_policy_rule("coordination.k8s.io", ["leases"], [*_READ, "patch"]), "resourceNames": [lease]},
        ],
    )


def release_cluster_role() -> dict[str, Any]:
    """Returns the ClusterRole of `statefulroute release` for all namespaces."""
    return _cluster_role("statefulroute-release", [*_release_rules(), *annotation_rules(), *release_disruption_rules()])


def release_role(*, annotates: bool = True, plans_disruptions: bool = True) -> dict[str, Any]:
    """Returns the Role of `statefulroute release` in one namespace.

    Args:
        annotates: whether the operator writes annotations on pods and workloads, which are to be removed.
        plans_disruptions: whether the operator guards pods against evictions.
    """
    return _role(
        "statefulroute-release",
        "For `statefulroute release`, in each namespace with routes.",
        [
            *_release_rules(),
            *(annotation_rules() if annotates else ()),
            *(release_disruption_rules() if plans_disruptions else ()),
        ],
    )


def annotation_rules() -> list[dict[str, Any]]:
    """Returns the rules to annotate pods and workloads, for the operator and `statefulroute release`.

    The policy `operator_writes` restricts these patches to annotations and labels of the operator.
    """
    return [
        *_pod_patch_rules(),
        _policy_rule("apps", ["statefulsets"], ["patch"]),
        # Only the metadata of other workloads is watched: their annotations are read before they are written.
        _policy_rule("apps", ["deployments", "replicasets"], ["get", "patch"]),
    ]


def disruption_rules() -> list[dict[str, Any]]:
    """Returns the rules for planned disruptions of the operator: scale-down, rollout and node drain.

    The policy `operator_writes` restricts patches of pods to annotations and labels of the operator, and the policy
    `operator_budgets` its PodDisruptionBudgets to those of routes.
    """
    return [
        *scale_rules(),
        # Lets evictions of pods with links be refused, unless another budget selects the pods.
        _policy_rule("policy", ["poddisruptionbudgets"], ["list", "create", "delete"]),
    ]


def scale_rules() -> list[dict[str, Any]]:
    """Returns the rules for planned disruptions of an operator that sees no nodes, and guards no pods."""
    return [
        # Ranks closing pods by their deletion cost, and marks pods with links by a label.
        *_pod_patch_rules(),
        # Sets the number of pods. The API server lets a scale change nothing else of a workload.
        _policy_rule("apps", [f"{resource}/scale" for resource in WORKLOAD_RESOURCES], ["patch"]),
        # Replaces pods of older revisions. Evictions respect PodDisruptionBudgets.
        _policy_rule("", ["pods/eviction"], ["create"]),
    ]


def slot_rules() -> list[dict[str, Any]]:
    """Returns the rule for routes with slots: the operator creates the links of their slots."""
    return [_policy_rule(GROUP, [POD_LINK.plural], ["create"])]


def release_disruption_rules() -> list[dict[str, Any]]:
    """Returns the rules of `statefulroute release` to remove the labels and budgets that guard pods."""
    return [*_pod_patch_rules(), _policy_rule("policy", ["poddisruptionbudgets"], ["list", "delete"])]


def _pod_patch_rules() -> list[dict[str, Any]]:
    """Returns the rules to patch pods, which the policy `operator_writes` restricts."""
    group, resource, verb = OPERATOR_MARK
    return [_policy_rule(group, [resource], [verb]), _policy_rule("", ["pods"], ["patch"])]


def stop_role(operator: str) -> dict[str, Any]:
    """Returns the Role of `statefulroute release --operator`, in the namespace of the operator.

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
    """Returns the rules of the operator in the namespaces that it serves."""
    return [
        # Watches all links; binds, moves and deletes them, and updates their statuses.
        _policy_rule(GROUP, [POD_LINK.plural], [*_LIST_WATCH, "patch", "delete"]),
        _policy_rule(GROUP, [f"{POD_LINK.plural}/status"], ["patch"]),
        # Watches all routes and updates their statuses. kopf needs `patch` on the routes themselves for the finalizer.
        _policy_rule(GROUP, [STATEFUL_ROUTE.plural], [*_LIST_WATCH, "patch"]),
        _policy_rule(GROUP, [f"{STATEFUL_ROUTE.plural}/status"], ["patch"]),
        _policy_rule("", ["pods"], _LIST_WATCH),
        _policy_rule("apps", ["statefulsets"], _LIST_WATCH),
        # Watches the metadata of other workloads that routes refer to, and reads their scale when they have changed.
        # Kinds other than these need additional rules; without `list` and `watch`, they are polled.
        _policy_rule("apps", ["deployments", "replicasets"], _LIST_WATCH),
        _policy_rule("apps", ["deployments/scale", "replicasets/scale"], ["get"]),
        # Creates the events that `kubectl describe` shows.
        _policy_rule("events.k8s.io", ["events"], ["create"]),
    ]


def _release_rules() -> list[dict[str, Any]]:
    """Returns the rules of `statefulroute release` in namespaces with routes."""
    return [
        _policy_rule(GROUP, [STATEFUL_ROUTE.plural], ["get", "list", "patch"]),
        # Reads the annotations that are left. Lists pods where the status of a route does not list all.
        _policy_rule("", ["pods"], ["get", "list"]),
        _policy_rule("apps", [*WORKLOAD_RESOURCES], ["get"]),
    ]


def server_role() -> dict[str, Any]:
    """Returns the Role of server pods in one namespace."""
    return _role(
        "statefulroute-server",
        # The description warns before the Role is applied: a Role alone cannot restrict a server to its own pod.
        "For the pods of a stateful service. Apply deploy/admission first: without its policy own-pod, this Role "
        "allows every pod that has it to change all pods of the namespace.",
        [
            _policy_rule(GROUP, [POD_LINK.plural], _MANAGE_LINKS),
            _policy_rule(GROUP, [STATEFUL_ROUTE.plural], [*_READ, REPORT_VERB]),
            # `patch` is for the report. The policy `own_pod` restricts it to the report on the server's own pod.
            _policy_rule("", ["pods"], ["get", "patch"]),
        ],
    )


def client_role() -> dict[str, Any]:
    """Returns the Role of an application that calls servers, in one namespace."""
    return _role(
        "statefulroute-client",
        "For applications that look up, bind and release the users of the stateful services in their namespace.",
        [
            _policy_rule(GROUP, [POD_LINK.plural], _MANAGE_LINKS),
            _policy_rule(GROUP, [STATEFUL_ROUTE.plural], _READ),
            # Reads the addresses and ports of pods.
            _policy_rule("", ["pods"], _READ),
        ],
    )


def view_cluster_role() -> dict[str, Any]:
    """Returns the ClusterRole that adds links and routes to what `view`, `edit` and `admin` of Kubernetes may read."""
    resources = [POD_LINK.plural, f"{POD_LINK.plural}/status"]
    resources += [STATEFUL_ROUTE.plural, f"{STATEFUL_ROUTE.plural}/status", f"{STATEFUL_ROUTE.plural}/scale"]
    return _aggregated_role("statefulroute-view", ("view", "edit", "admin"), [_policy_rule(GROUP, resources, _READ)])


def edit_cluster_role() -> dict[str, Any]:
    """Returns the ClusterRole that adds links and routes to what `edit` and `admin` of Kubernetes may change.

    It grants no statuses, which only the operator writes, and no report, which only a server may make of its own pod.
    """
    verbs = ["create", "update", "patch", "delete", "deletecollection"]
    rules = [
        _policy_rule(GROUP, [POD_LINK.plural, STATEFUL_ROUTE.plural], verbs),
        _policy_rule(GROUP, [f"{STATEFUL_ROUTE.plural}/scale"], ["update", "patch"]),
    ]
    return _aggregated_role("statefulroute-edit", ("edit", "admin"), rules)


def resolver_cluster_role() -> dict[str, Any]:
    """Returns the ClusterRole of a resolver that serves the whole cluster."""
    return _cluster_role("statefulroute-resolver", _resolver_rules())


def resolver_role() -> dict[str, Any]:
    """Returns the Role of a resolver that serves only some namespaces. Each of them needs the Role."""
    return _role(
        "statefulroute-resolver",
        "For a resolver that runs with --watch-namespace, in each namespace that it serves.",
        _resolver_rules(),
    )


def resolver_tokens_cluster_role() -> dict[str, Any]:
    """Returns the additional ClusterRole of a resolver that authenticates callers by tokens."""
    # TokenReviews are cluster-scoped, so a Role cannot grant them.
    return _cluster_role(
        "statefulroute-resolver-tokens", [_policy_rule("authentication.k8s.io", ["tokenreviews"], ["create"])]
    )


def metrics_reviews_cluster_role() -> dict[str, Any]:
    """Returns the additional ClusterRole of an operator or a resolver with `--metrics-authentication`."""
    return _cluster_role(
        "statefulroute-metrics-reviews",
        [
            _policy_rule("authentication.k8s.io", ["tokenreviews"], ["create"]),
            _policy_rule("authorization.k8s.io", ["subjectaccessreviews"], ["create"]),
        ],
    )


def metrics_reader_cluster_role() -> dict[str, Any]:
    """Returns the ClusterRole of clients that read the metrics of such an operator or resolver, such as Prometheus."""
    return _cluster_role("statefulroute-metrics-reader", [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}])


def resolver_link_changes_cluster_role() -> dict[str, Any]:
    """Returns the additional ClusterRole of a resolver whose callers may unlink users, in the whole cluster."""
    return _cluster_role("statefulroute-resolver-link-changes", _resolver_link_changes_rules())


def resolver_link_changes_role() -> dict[str, Any]:
    """Returns the additional Role of a resolver whose callers may unlink users. Each of its namespaces needs it."""
    return _role(
        "statefulroute-resolver-link-changes",
        "For a resolver that runs with --link-changes and --watch-namespace, in each namespace that it serves.",
        _resolver_link_changes_rules(),
    )


def _resolver_link_changes_rules() -> list[dict[str, Any]]:
    # Claims need no more than the rules of every resolver.
    return [_policy_rule(GROUP, [POD_LINK.plural], ["delete"])]


def _resolver_rules() -> list[dict[str, Any]]:
    """Returns the rules of the resolver in the namespaces that it serves."""
    return [
        # Reads all links, creates links for new users, and renews links in use. It deletes none without --link-changes.
        _policy_rule(GROUP, [POD_LINK.plural], [*_READ, "create", "patch"]),
        # Watches the states of pods in routes, and the addresses of pods.
        _policy_rule(GROUP, [STATEFUL_ROUTE.plural], _LIST_WATCH),
        _policy_rule("", ["pods"], _LIST_WATCH),
    ]


def _aggregated_role(name: str, roles: Iterable[str], rules: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns a ClusterRole whose rules Kubernetes adds to these roles of people."""
    role = _cluster_role(name, rules)
    labels = {f"rbac.authorization.k8s.io/aggregate-to-{each}": "true" for each in roles}
    return {**role, "metadata": {**role["metadata"], "labels": labels}}


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
