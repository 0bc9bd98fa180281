"""The admission policies: what neither a CustomResourceDefinition nor RBAC can say.

A CEL rule of a CustomResourceDefinition cannot see `metadata.namespace`, and a Role cannot say "only your own pod";
a ValidatingAdmissionPolicy can.
"""

from typing import Any

from statefulroute.api.annotations import LOAD_STATE, REPORT_TIME, ROUTING_STATE, WAITING_TASKS
from statefulroute.api.group import GROUP, POD_LINK, STATEFUL_ROUTE, VERSION
from statefulroute.api.rbac import REPORT
from statefulroute.api.vocabulary import ONLY_LOCAL_NAMESPACE

_REPORTS = (LOAD_STATE, WAITING_TASKS, REPORT_TIME, ROUTING_STATE)


def namespace_locality() -> list[dict[str, Any]]:
    """The policy that refuses a link into another namespace at `kubectl apply`, with its binding."""
    return _in_force(
        f"local-namespace.{POD_LINK.crd_name}",
        _constraints(GROUP, VERSION, POD_LINK.plural, ["CREATE", "UPDATE"]),
        validations=[
            _demand(
                "!has(object.spec.namespace) || object.spec.namespace == object.metadata.namespace",
                ONLY_LOCAL_NAMESPACE,
                reason="Invalid",
            )
        ],
    )


def own_pod() -> list[dict[str, Any]]:
    """The policy that holds servers to reporting on their own pods, with its binding.

    A server is a ServiceAccount that has the server's Role. That gives it `patch` of pods, which is more than it should
    have, and the verb `report`, by which this policy knows it. Nobody else is touched.
    """
    return _in_force(
        f"own-pod.{GROUP}",
        # Subresources (status, ephemeralcontainers, resize, ...) are resources of their own, which no server is given.
        _constraints("", "v1", "pods", ["UPDATE"]),
        matchConditions=_is_a_server(),
        variables=[
            _named("pod", _token_says("pod-name")),
            _named("uid", _token_says("pod-uid")),
            _named("reports", f"[{', '.join(map(_quoted, _REPORTS))}]"),
            _named("before", "oldObject.metadata.?annotations.orValue({})"),
            _named("after", "object.metadata.?annotations.orValue({})"),
        ],
        validations=_reports_on_itself(),
    )


def _is_a_server() -> list[dict[str, Any]]:
    """Whom the policy of own pods holds: those of whom all of this is true."""
    everything = f"{_may(GROUP, STATEFUL_ROUTE.plural, '*')} && {_may('', 'pods', 'update')}"
    return [
        _named("is-a-service-account", "request.userInfo.username.startsWith('system:serviceaccount:')"),
        _named("may-report", _may(GROUP, STATEFUL_ROUTE.plural, REPORT)),
        # Whoever may do everything may report, too, and is no server. `*` tells them apart: it stands for all verbs,
        # and a role that names its verbs does not give it. It alone would let a server go that was given all verbs on
        # routes besides its Role. So it takes `update` of pods, too, which the Role does not give: whoever has that
        # has been trusted with the pods by another role, and the policy takes nothing from them.
        _named("is-no-administrator", f"!({everything})"),
    ]


def _reports_on_itself() -> list[dict[str, Any]]:
    """What a server's change of a pod must satisfy. Of those that fail, the API server tells the first."""
    return [
        # The kubelet binds the token that a pod finds in its file system to that pod. One that was made otherwise
        # (a Secret, `kubectl create token`) does not say whose it is: it could be good for every pod, or for none.
        _demand(
            "size(variables.pod) == 1 && size(variables.uid) == 1",
            "a server needs a token that is bound to its pod: this one is bound to none",
        ),
        # The next pod of a StatefulSet has the name of the one before, whose token the API server still takes for
        # good for some seconds. So the UID must be right, too.
        _demand(
            "variables.pod == [oldObject.metadata.name] && variables.uid == [oldObject.metadata.uid]",
            "a server pod may annotate only itself",
        ),
        _demand(
            "variables.after.all(key, key in variables.reports || variables.before[?key] == variables.after[?key])"
            " && variables.before.all(key, key in variables.reports || key in variables.after)",
            f"of its annotations a server pod may change only {', '.join(_REPORTS)}",
        ),
        # The rest of the metadata cannot be changed by anybody, or changes with every request (managedFields).
        _demand(
            " && ".join(_same(f"metadata.?{field}") for field in _CHANGEABLE),
            "of its metadata a server pod may change only annotations",
        ),
        _demand(_same("spec"), "a server pod may not change its spec"),
    ]


_CHANGEABLE = ("labels", "finalizers", "ownerReferences", "generateName", "selfLink")
"""The fields of a pod's metadata, besides its annotations, that an update can change."""


def _token_says(what: str) -> str:
    """What the token of the request says about its pod: a list of one text, or of none."""
    return f"request.userInfo.?extra[?'authentication.kubernetes.io/{what}'].orValue([])"


def _may(group: str, resource: str, verb: str) -> str:
    checked = f"authorizer.group({_quoted(group)}).resource({_quoted(resource)}).namespace(request.namespace)"
    return f"{checked}.check({_quoted(verb)}).allowed()"


def _same(field: str) -> str:
    return f"object.{field} == oldObject.{field}"


def _quoted(text: str) -> str:
    return f"'{text}'"


def _constraints(group: str, version: str, resource: str, operations: list[str]) -> dict[str, Any]:
    rule = {"apiGroups": [group], "apiVersions": [version], "operations": operations, "resources": [resource]}
    return {"resourceRules": [rule]}


def _named(name: str, expression: str) -> dict[str, Any]:
    return {"name": name, "expression": expression}


def _demand(expression: str, message: str, reason: str = "Forbidden") -> dict[str, Any]:
    return {"expression": expression, "message": message, "reason": reason}


def _in_force(name: str, constraints: dict[str, Any], **rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
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
