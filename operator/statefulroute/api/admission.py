"""The ValidatingAdmissionPolicies, for rules that neither a CustomResourceDefinition nor RBAC can express.

A CEL rule of a CustomResourceDefinition cannot read `metadata.namespace`, a Role cannot restrict a server to its own
pod, and no role can allow annotations and nothing else of an object.
"""

from collections.abc import Callable, Iterable
from typing import Any

from statefulroute.api.annotations import (
    LOAD_STATE,
    POD_ANNOTATIONS,
    POD_LABELS,
    REPORT_TIME,
    ROUTING_STATE,
    WAITING_TASKS,
    WORKLOAD_ANNOTATIONS,
)
from statefulroute.api.group import GROUP, POD_LINK, STATEFUL_ROUTE, VERSION
from statefulroute.api.rbac import OPERATOR_MARK, REPORT_VERB, WORKLOAD_RESOURCES
from statefulroute.api.vocabulary import FOREIGN_NAMESPACE_MESSAGE

_REPORT_ANNOTATIONS = (LOAD_STATE, WAITING_TASKS, REPORT_TIME, ROUTING_STATE)


def namespace_locality() -> list[dict[str, Any]]:
    """Returns the policy that refuses links with a foreign namespace at `kubectl apply`, and its binding."""
    return _policy_and_binding(
        f"local-namespace.{POD_LINK.crd_name}",
        _match_constraints(GROUP, VERSION, POD_LINK.plural, ["CREATE", "UPDATE"]),
        validations=[
            _validation(
                "!has(object.spec.namespace) || object.spec.namespace == object.metadata.namespace",
                FOREIGN_NAMESPACE_MESSAGE,
                reason="Invalid",
            )
        ],
    )


def own_pod() -> list[dict[str, Any]]:
    """Returns the policy that restricts servers to reports on their own pods, and its binding.

    A server is a ServiceAccount with the server Role. The Role grants `patch` on pods, which is too much, and the verb
    `report`, by which this policy recognizes servers. The policy does not apply to other accounts.
    """
    return _policy_and_binding(
        f"own-pod.{GROUP}",
        # Subresources (status, ephemeralcontainers, resize, ...) are separate resources, and the Role grants none.
        _match_constraints("", "v1", "pods", ["UPDATE"]),
        matchConditions=_server_match_conditions(),
        variables=[
            _named_expression("pod", _token_claim("pod-name")),
            _named_expression("uid", _token_claim("pod-uid")),
            _named_expression("reports", _string_list(_REPORT_ANNOTATIONS)),
            _named_expression("before", "oldObject.metadata.?annotations.orValue({})"),
            _named_expression("after", "object.metadata.?annotations.orValue({})"),
        ],
        validations=_own_pod_validations(),
    )


def _server_match_conditions() -> list[dict[str, Any]]:
    """Returns the match conditions of the own-pod policy: it applies to accounts that meet all of them."""
    everything = f"{_authorizer_check(GROUP, STATEFUL_ROUTE.plural, '*')} && {_authorizer_check('', 'pods', 'update')}"
    return [
        _IS_SERVICE_ACCOUNT,
        _named_expression("may-report", _authorizer_check(GROUP, STATEFUL_ROUTE.plural, REPORT_VERB)),
        # An administrator may do everything, so may report as well, and is not a server. The verb `*` identifies
        # administrators: a role that lists its verbs does not grant it. That alone would exempt a server with all verbs
        # on routes from another role. So the account also needs `update` on pods, which the server Role does not grant:
        # an account with it got access to pods from another role, and the policy must not restrict that.
        _named_expression("is-no-administrator", f"!({everything})"),
    ]


def _own_pod_validations() -> list[dict[str, Any]]:
    """Returns the validations of a server's update of a pod. The API server reports the first one that fails."""
    return [
        # The kubelet binds the token in a pod's file system to the pod. Another token (a Secret, `kubectl create
        # token`) names no pod, so it cannot be restricted to one.
        _validation(
            "size(variables.pod) == 1 && size(variables.uid) == 1",
            "a server needs a token that is bound to its pod: this one is bound to none",
        ),
        # The next pod of a StatefulSet has the name of the previous one, whose token the API server accepts for a few
        # more seconds. So the UID must match as well.
        _validation(
            "variables.pod == [oldObject.metadata.name] && variables.uid == [oldObject.metadata.uid]",
            "a server pod may annotate only itself",
        ),
        _validation(
            _changes_only("variables.before", "variables.after", "variables.reports"),
            f"of its annotations a server pod may change only {', '.join(_REPORT_ANNOTATIONS)}",
        ),
        # The other fields of the metadata are immutable, or change with every request (managedFields).
        _validation(
            " && ".join(_is_unchanged(f"metadata.?{field}") for field in _MUTABLE_METADATA),
            "of its metadata a server pod may change only annotations",
        ),
        _validation(_is_unchanged("spec"), "a server pod may not change its spec"),
    ]


_MUTABLE_METADATA = ("labels", "finalizers", "ownerReferences", "generateName", "selfLink")
"""The fields of a pod's metadata that an update can change, except annotations."""


def operator_writes() -> list[dict[str, Any]]:
    """Returns the policy that restricts the operator to its annotations and labels of pods and workloads.

    RBAC has no right to annotations alone: with `patch` on all pods and workloads, an account can change the image of
    any of them. The operator's role, and that of `statefulroute release`, therefore grant a right that marks their
    accounts for this policy. The policy does not apply to other accounts.
    """
    return _policy_and_binding(
        f"operator-writes.{GROUP}",
        {
            "resourceRules": [
                _resource_rule("", "v1", ["pods"], ["UPDATE"]),
                _resource_rule("apps", "v1", [*WORKLOAD_RESOURCES], ["UPDATE"]),
            ]
        },
        matchConditions=[
            _IS_SERVICE_ACCOUNT,
            _named_expression("is-an-operator", _authorizer_check(*OPERATOR_MARK)),
            # The roles grant only `patch`. An account that may also create or update the resource, for example an
            # administrator or a deployment pipeline, got that from another role, which the policy must not restrict.
            _named_expression("may-only-patch", f"!({_may_write('update')} || {_may_write('create')})"),
        ],
        variables=[
            _named_expression("isPod", "request.resource.resource == 'pods'"),
            _named_expression(
                "annotations",
                f"variables.isPod ? {_string_list(POD_ANNOTATIONS)} : {_string_list(WORKLOAD_ANNOTATIONS)}",
            ),
            _named_expression("labels", f"variables.isPod ? {_string_list(POD_LABELS)} : {_string_list(())}"),
            # An object without a type is a map of the fields that are set, whatever its kind and version.
            _named_expression("before", "dyn(oldObject)"),
            _named_expression("after", "dyn(object)"),
            *(
                _named_expression(f"{field}{when.capitalize()}", f"variables.{when}.metadata.?{field}.orValue({{}})")
                for field in ("annotations", "labels")
                for when in ("before", "after")
            ),
        ],
        validations=_operator_validations(),
    )


def operator_budgets() -> list[dict[str, Any]]:
    """Returns the policy that restricts the operator to PodDisruptionBudgets that belong to routes.

    RBAC has no right to the objects of one owner: with `delete` on all budgets, an account can let the pods of any
    workload be evicted. The policy applies to the same accounts as `operator_writes`.
    """
    owned = (
        "{budget}.metadata.?ownerReferences.orValue([]).exists(owner, "
        f"owner.kind == {_quoted(STATEFUL_ROUTE.kind)} && owner.apiVersion.startsWith({_quoted(f'{GROUP}/')}))"
    )
    return _policy_and_binding(
        f"operator-budgets.{GROUP}",
        _match_constraints("policy", "v1", "poddisruptionbudgets", ["CREATE", "DELETE"]),
        matchConditions=[
            _IS_SERVICE_ACCOUNT,
            _named_expression("is-an-operator", _authorizer_check(*OPERATOR_MARK)),
            # The roles grant neither. An account that may update budgets got that from another role.
            _named_expression("may-not-change", f"!({_may_write('update')} || {_may_write('patch')})"),
        ],
        validations=[
            _validation(
                f"request.operation == 'DELETE' ? {owned.format(budget='oldObject')} : {owned.format(budget='object')}",
                "the operator may create and delete only PodDisruptionBudgets that a StatefulRoute owns",
            )
        ],
    )


def _operator_validations() -> list[dict[str, Any]]:
    """Returns the validations of the operator's update of a pod or workload."""
    return [
        _validation(
            _changes_only("variables.annotationsBefore", "variables.annotationsAfter", "variables.annotations"),
            f"the operator may change only these annotations: {', '.join(POD_ANNOTATIONS)} of pods; "
            f"{', '.join(WORKLOAD_ANNOTATIONS)} of workloads",
        ),
        _validation(
            _changes_only("variables.labelsBefore", "variables.labelsAfter", "variables.labels"),
            f"the operator may change only these labels: {', '.join(POD_LABELS)} of pods",
        ),
        # The API server itself changes the last three with every write.
        _validation(
            _changes_only(
                "variables.before.metadata",
                "variables.after.metadata",
                _string_list(("annotations", "labels", "generation", "managedFields", "resourceVersion")),
            ),
            "of the metadata of pods and workloads the operator may change only its own annotations and labels",
        ),
        _validation(
            _changes_only("variables.before", "variables.after", _string_list(("metadata",))),
            "the operator may change only the metadata of pods and workloads",
        ),
    ]


_IS_SERVICE_ACCOUNT = {
    "name": "is-a-service-account",
    "expression": "request.userInfo.username.startsWith('system:serviceaccount:')",
}


def _token_claim(name: str) -> str:
    """CEL: the value of a pod claim of the request's token, as a list of one string, or an empty list."""
    return f"request.userInfo.?extra[?'authentication.kubernetes.io/{name}'].orValue([])"


def _authorizer_check(group: str, resource: str, verb: str) -> str:
    """CEL: whether the account may use the verb on a resource in the namespace of the request."""
    return _check(_quoted(group), _quoted(resource), verb)


def _may_write(verb: str) -> str:
    """CEL: whether the account may use the verb on the resource of the request."""
    return _check("request.resource.group", "request.resource.resource", verb)


def _check(group: str, resource: str, verb: str) -> str:
    resource_check = f"authorizer.group({group}).resource({resource}).namespace(request.namespace)"
    return f"{resource_check}.check({_quoted(verb)}).allowed()"


def _changes_only(before: str, after: str, allowed: str) -> str:
    """CEL: whether two maps differ only in allowed keys, which may also be added and removed."""
    return (
        f"{after}.all(key, key in {allowed} || {before}[?key] == {after}[?key])"
        f" && {before}.all(key, key in {allowed} || key in {after})"
    )


def _is_unchanged(field: str) -> str:
    return f"object.{field} == oldObject.{field}"


def _quoted(text: str) -> str:
    return f"'{text}'"


def _string_list(texts: Iterable[str]) -> str:
    """CEL: a list of strings."""
    return f"[{', '.join(map(_quoted, texts))}]"


def _match_constraints(group: str, version: str, resource: str, operations: list[str]) -> dict[str, Any]:
    return {"resourceRules": [_resource_rule(group, version, [resource], operations)]}


def _resource_rule(group: str, version: str, resources: list[str], operations: list[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "apiVersions": [version], "operations": operations, "resources": resources}


def _named_expression(name: str, expression: str) -> dict[str, Any]:
    return {"name": name, "expression": expression}


def _validation(expression: str, message: str, reason: str = "Forbidden") -> dict[str, Any]:
    return {"expression": expression, "message": message, "reason": reason}


def _policy_and_binding(name: str, constraints: dict[str, Any], **rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns a policy, which refuses a request that it fails to evaluate, and its binding."""
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {"failurePolicy": "Fail", "matchConstraints": constraints, **rules},
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    return [policy, binding]


#: All policies, by the name of their file.
POLICIES: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "namespace-locality": namespace_locality,
    "own-pod": own_pod,
    "operator-writes": operator_writes,
    "operator-budgets": operator_budgets,
}
