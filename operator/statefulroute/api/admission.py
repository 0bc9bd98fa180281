"""The admission policy that refuses a link into another namespace at `kubectl apply`.

A CEL rule of a CustomResourceDefinition cannot see `metadata.namespace`; a ValidatingAdmissionPolicy can.
"""

from typing import Any

from statefulroute.api.group import GROUP, POD_LINK, VERSION
from statefulroute.api.vocabulary import ONLY_LOCAL_NAMESPACE

_NAME = f"local-namespace.{POD_LINK.crd_name}"


def namespace_locality() -> list[dict[str, Any]]:
    """The ValidatingAdmissionPolicy and its binding, ready to be applied."""
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": _NAME},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [GROUP],
                        "apiVersions": [VERSION],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": [POD_LINK.plural],
                    }
                ]
            },
            "validations": [
                {
                    "expression": "!has(object.spec.namespace) || object.spec.namespace == object.metadata.namespace",
                    "message": ONLY_LOCAL_NAMESPACE,
                    "reason": "Invalid",
                }
            ],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": _NAME},
        "spec": {"policyName": _NAME, "validationActions": ["Deny"]},
    }
    return [policy, binding]
