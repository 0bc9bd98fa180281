"""The admission policies: what neither a CustomResourceDefinition nor RBAC can say.

A CEL rule of a CustomResourceDefinition cannot see `metadata.namespace`, and a Role cannot say "only your own pod";
a ValidatingAdmissionPolicy can.
"""

from typing import Any

from statefulroute.api.annotations import LOAD_STATE, REPORT_TIME, ROUTING_STATE, WAITING_TASKS
from statefulroute.api.group import GROUP, POD_LINK, STATEFUL_ROUTE, VERSION
from statefulroute.api.rbac import REPORT_VERB
from statefulroute.api.vocabulary import FOREIGN_NAMESPACE_MESSAGE

_REPORT_ANNOTATIONS = (LOAD_STATE, WAITING_TASKS, REPORT_TIME, ROUTING_STATE)


def namespace_locality() -> list[dict[str, Any]]:
    """The policy that refuses a link into another namespace at `kubectl apply`, with its binding."""
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
    """The policy that holds servers to reporting on their own pods, with its binding.

    A server is a ServiceAccount that has the server's Role. That gives it `patch` of pods, which is more than it should
    have, and the verb `report`, by which this policy knows it. Nobody else is touched.
    """
    return _policy_and_binding(
        f"own-pod.{GROUP}",
        # Subresources (status, ephemeralcontainers, resize, ...) are resources of their own, which no server is given.
        _match_constraints("", "v1", "pods", ["UPDATE"]),
        matchConditions=_server_match_conditions(),
        variables=[
            _named_expression("pod", _token_claim("pod-name")),
            _named_expression("uid", _token_claim("pod-uid")),
            _named_expression("reports", f"[{', '.join(map(_quoted, _REPORT_ANNOTATIONS))}]"),
            _named_expression("before", "oldObject.metadata.?annotations.orValue({})"),
            _named_expression("after", "object.metadata.?annotations.orValue({})"),
        ],
        validations=_own_pod_validations(),
    )


def _server_match_conditions() -> list[dict[str, Any]]:
    """Whom the policy of own pods holds: those of whom all of this is true."""
    everything = f"{_authorizer_check(GROUP, STATEFUL_ROUTE.plural, '*')} && {_authorizer_check('', 'pods', 'update')}"
    return [
        _named_expression("is-a-service-account", "request.userInfo.username.startsWith('system:serviceaccount:')"),
        _named_expression("may-report", _authorizer_check(GROUP, STATEFUL_ROUTE.plural, REPORT_VERB)),
        # Whoever may do everything may report, too, and is no server. `*` tells them apart: it stands for all verbs,
        # and a role that names its verbs does not give it. It alone would let a server go that was given all verbs on
        # routes besides its Role. So it takes `update` of pods, too, which the Role does not give: whoever has that
        # has been trusted with the pods by another role, and the policy takes nothing from them.
        _named_expression("is-no-administrator", f"!({everything})"),
    ]


def _own_pod_validations() -> list[dict[str, Any]]:
    """What a server's change of a pod must satisfy. Of those that fail, the API server tells the first."""
    return [
        # The kubelet binds the token that a pod finds in its file system to that pod. One that was made otherwise
        # (a Secret, `kubectl create token`) does not say whose it is: it could be good for every pod, or for none.
        _validation(
            "size(variables.pod) == 1 && size(variables.uid) == 1",
            "a server needs a token that is bound to its pod: this one is bound to none",
        ),
        # The next pod of a StatefulSet has the name of the one before, whose token the API server still takes for
        # good for some seconds. So the UID must be right, too.
        _validation(
            "variables.pod == [oldObject.metadata.name] && variables.uid == [oldObject.metadata.uid]",
            "a server pod may annotate only itself",
        ),
        _validation(
            "variables.after.all(key, key in variables.reports || variables.before[?key] == variables.after[?key])"
            " && variables.before.all(key, key in variables.reports || key in variables.after)",
            f"of its annotations a server pod may change only {', '.join(_REPORT_ANNOTATIONS)}",
        ),
        # The rest of the metadata cannot be changed by anybody, or changes with every request (managedFields).
        _validation(
            " && ".join(_is_unchanged(f"metadata.?{field}") for field in _MUTABLE_METADATA),
            "of its metadata a server pod may change only annotations",
        ),
        _validation(_is_unchanged("spec"), "a server pod may not change its spec"),
    ]


_MUTABLE_METADATA = ("labels", "finalizers", "ownerReferences", "generateName", "selfLink")
"""The fields of a pod's metadata, besides its annotations, that an update can change."""


def _token_claim(what: str) -> str:
    """What the token of the request says about its pod: a list of one text, or of none."""
    return f"request.userInfo.?extra[?'authentication.kubernetes.io/{what}'].orValue([])"


def _authorizer_check(group: str, resource: str, verb: str) -> str:
    checked = f"authorizer.group({_quoted(group)}).resource({_quoted(resource)}).namespace(request.namespace)"
    return f"{checked}.check({_quoted(verb)}).allowed()"


def _is_unchanged(field: str) -> str:
    return f"object.{field} == oldObject.{field}"


def _quoted(text: str) -> str:
    return f"'{text}'"


def _match_constraints(group: str, version: str, resource: str, operations: list[str]) -> dict[str, Any]:
    rule = {"apiGroups": [group], "apiVersions": [version], "operations": operations, "resources": [resource]}
    return {"resourceRules": [rule]}


def _named_expression(name: str, expression: str) -> dict[str, Any]:
    return {"name": name, "expression": expression}


def _validation(expression: str, message: str, reason: str = "Forbidden") -> dict[str, Any]:
    return {"expression": expression, "message": message, "reason": reason}


def _policy_and_binding(name: str, constraints: dict[str, Any], **rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A policy that refuses whatever it cannot judge, and its binding."""
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
