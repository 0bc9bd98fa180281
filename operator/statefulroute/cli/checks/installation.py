"""Checks of the installation: the definitions of the kinds, admission policies, and the permissions of the user."""

import asyncio
import json
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

import msgspec

from statefulroute.api.admission import POLICIES
from statefulroute.api.group import API_VERSION, GROUP, POD_LINK, STATEFUL_ROUTE, Kind
from statefulroute.cli.checks.results import CheckResult, Level
from statefulroute.cli.cluster import Cluster, Object
from statefulroute.cluster.errors import APIError, NotFoundError

_FORBIDDEN = 403

_DEFINITIONS, _POLICIES, _RIGHTS = "definitions", "policies", "rights"

_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

_APPLY_CRDS = "kubectl apply -f crds, of this version of statefulroute"
_APPLY_POLICIES = "kubectl apply -f deploy/admission, of this version of statefulroute"

#: Defaults of the API server; a policy with other values does not apply to all objects.
_EVERYWHERE: dict[str, Any] = {"namespaceSelector": {}, "objectSelector": {}}


async def check_definitions(cluster: Cluster) -> AsyncIterator[CheckResult]:
    """Check whether both kinds are installed, in this version."""
    has_results = False
    for kind in (POD_LINK, STATEFUL_ROUTE):
        result = await _check_definition(cluster, kind)
        if result is not None:
            has_results = True
            yield result
    if not has_results:
        message = f"{POD_LINK.kind} and {STATEFUL_ROUTE.kind} are installed in version {version('statefulroute')}"
        yield CheckResult(_DEFINITIONS, Level.OK, message)


async def _check_definition(cluster: Cluster, kind: Kind) -> CheckResult | None:
    try:
        served = await cluster.get(f"{_CRDS}/{kind.crd_name}")
    except NotFoundError:
        return CheckResult(_DEFINITIONS, Level.PROBLEM, f"kind {kind.kind} is not installed", _APPLY_CRDS)
    except APIError as error:
        if error.status != _FORBIDDEN:
            raise
        return await _check_discovery(cluster, kind)
    states = {each["type"]: each["status"] for each in served.get("status", {}).get("conditions", ())}
    if states.get("Established") != "True":
        return CheckResult(
            _DEFINITIONS,
            Level.PROBLEM,
            f"the API server does not serve {kind.kind} yet",
            f"kubectl describe crd {kind.crd_name}",
        )
    expected_version = _expected_version(kind)
    served_version = next(
        (each for each in served["spec"]["versions"] if each["name"] == expected_version["name"]), None
    )
    if served_version is None or not served_version["served"]:
        return CheckResult(_DEFINITIONS, Level.PROBLEM, f"{kind.kind} is not served as {API_VERSION}", _APPLY_CRDS)
    path = difference(expected_version, served_version, exact=True)
    if path:
        return CheckResult(
            _DEFINITIONS,
            Level.PROBLEM,
            f"{kind.kind} is installed, but not in version {version('statefulroute')}: {path} differs",
            _APPLY_CRDS,
        )
    return None


def _expected_version(kind: Kind) -> Object:
    """Returns the version in the definition of a kind of this version of the program."""
    # The import of pydantic takes as long as the rest of the start: the first request is sent before it.
    from statefulroute.api.crd import custom_resource_definition  # noqa: PLC0415
    from statefulroute.api.podlink import PodLink  # noqa: PLC0415
    from statefulroute.api.statefulroute import StatefulRoute  # noqa: PLC0415

    definition = _to_json_types(custom_resource_definition(PodLink if kind is POD_LINK else StatefulRoute))
    expected: list[Object] = definition["spec"]["versions"]
    return expected[0]


async def _check_discovery(cluster: Cluster, kind: Kind) -> CheckResult:
    """Check which kinds are served, for a user without the permission to read definitions."""
    try:
        served = await cluster.get(f"/apis/{API_VERSION}")
        is_served = kind.plural in {each["name"] for each in served["resources"]}
    except NotFoundError:
        is_served = False
    if not is_served:
        return CheckResult(_DEFINITIONS, Level.PROBLEM, f"kind {kind.kind} is not installed", _APPLY_CRDS)
    message = f"{kind.kind} is served; you do not have the permission to check its version"
    return CheckResult(_DEFINITIONS, Level.NOTICE, message)


async def check_policies(cluster: Cluster) -> AsyncIterator[CheckResult]:
    """Check whether all admission policies are in force."""
    has_results = False
    for policy, binding in (create() for create in POLICIES.values()):
        policy["spec"]["matchConstraints"] = _EVERYWHERE | policy["spec"]["matchConstraints"]
        for part, plural in ((policy, "validatingadmissionpolicies"), (binding, "validatingadmissionpolicybindings")):
            result = await _check_part(cluster, _to_json_types(part), plural)
            if result is not None:
                has_results = True
                yield result
    if not has_results:
        yield CheckResult(_POLICIES, Level.OK, "all admission policies are in force")


async def _check_part(cluster: Cluster, expected: Object, plural: str) -> CheckResult | None:
    kind, name = expected["kind"], expected["metadata"]["name"]
    try:
        served = await cluster.get(f"{_ADMISSION}/{plural}/{name}")
    except NotFoundError:
        return CheckResult(_POLICIES, Level.PROBLEM, f"the {kind} {name} is missing", _APPLY_POLICIES)
    except APIError as error:
        if error.status != _FORBIDDEN:
            raise
        return CheckResult(_POLICIES, Level.NOTICE, f"you do not have the permission to read the {kind} {name}")
    is_binding = "policyName" in expected["spec"]
    if not is_binding:
        _remove_additional_resources(expected["spec"]["matchConstraints"], served["spec"]["matchConstraints"])
    path = difference(expected["spec"], served["spec"], "spec", exact=is_binding)
    if path:
        return CheckResult(
            _POLICIES, Level.PROBLEM, f"the {kind} {name} is not of this version: {path} differs", _APPLY_POLICIES
        )
    return None


def _remove_additional_resources(expected: Object, served: Object) -> None:
    """Removes the rules by which a policy applies to more resources: the chart adds the kinds of `workloadKinds`."""
    rules = served.get("resourceRules", [])
    if len(rules) > len(expected["resourceRules"]):
        served["resourceRules"] = [
            rule for rule in rules if any(not difference(each, rule, exact=False) for each in expected["resourceRules"])
        ]


def difference(expected: Any, served: Any, path: str = "", *, exact: bool) -> str:  # noqa: ANN401 - JSON
    """Returns the path of the first difference of two JSON values; empty if they are equal.

    Args:
        expected: the value as it should be.
        served: the value as it is.
        path: the path of the two values.
        exact: whether additional fields of `served` are a difference; for an empty `expected` they always are.
    """
    if isinstance(expected, dict) and isinstance(served, dict):
        fields = expected.keys() | served.keys() if exact or not expected else expected.keys()
        for field in sorted(fields):
            within = f"{path}.{field}".lstrip(".")
            if (field in expected) != (field in served):
                return within
            if first := difference(expected[field], served[field], within, exact=exact):
                return first
        return ""
    if isinstance(expected, list) and isinstance(served, list) and len(expected) == len(served):
        pairs = enumerate(zip(expected, served, strict=True))
        return next((first for i, (a, b) in pairs if (first := difference(a, b, f"{path}[{i}]", exact=exact))), "")
    return "" if expected == served else path


def _to_json_types(item: object) -> Any:  # noqa: ANN401 - JSON
    """Returns a value without enums and tuples, as the API server would return it."""
    return json.loads(json.dumps(item))


_READS = ("get", "list", "watch")
#: The permissions to write, and the commands that need them.
_WRITES = (
    ("create", POD_LINK, "link, import"),
    ("patch", POD_LINK, "link, move"),
    ("delete", POD_LINK, "unlink"),
    ("patch", STATEFUL_ROUTE, "drain, undrain, set-state, confirm-loss"),
)


async def check_rights(cluster: Cluster) -> AsyncIterator[CheckResult]:
    """Check the permissions of the user: a missing permission to read is a problem, one to write is a notice."""
    permissions = [(verb, kind, "") for kind in (POD_LINK, STATEFUL_ROUTE) for verb in _READS] + [*_WRITES]
    answers = await asyncio.gather(*(is_allowed(cluster, verb, kind.plural) for verb, kind, _ in permissions))
    where = f"in namespace {cluster.namespace!r}" if cluster.namespace else "in all namespaces"
    missing = [each for each, is_allowed in zip(permissions, answers, strict=True) if not is_allowed]
    for verb, kind, commands in missing:
        if commands:
            yield CheckResult(_RIGHTS, Level.NOTICE, f"you may not {verb} {kind.plural} {where}: no {commands} for you")
        else:
            fix = f"kubectl create role ... --verb={verb} --resource={kind.plural}.{GROUP}, and bind it to you"
            yield CheckResult(_RIGHTS, Level.PROBLEM, f"you may not {verb} {kind.plural} {where}", fix)
    if not missing:
        yield CheckResult(_RIGHTS, Level.OK, f"you may read and change links and routes {where}")


async def is_allowed(cluster: Cluster, verb: str, plural: str) -> bool:
    """Returns whether the user may do something with a kind of this project, in the namespace or in all.

    Raises:
        ClusterError: the API server does not answer.
    """
    attributes = {"group": GROUP, "resource": plural, "verb": verb}
    if cluster.namespace:
        attributes["namespace"] = cluster.namespace
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    response = msgspec.json.decode(await cluster.client.post(_REVIEWS, msgspec.json.encode(review)))
    return bool(response["status"]["allowed"])
