"""What `check` asks about the installation: definitions, policies, and the rights of whoever asks."""

import asyncio
import json
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

import msgspec

from statefulroute.api.admission import namespace_locality, own_pod
from statefulroute.api.crd import custom_resource_definition
from statefulroute.api.group import API_VERSION, GROUP, POD_LINK, STATEFUL_ROUTE
from statefulroute.api.podlink import PodLink
from statefulroute.api.statefulroute import StatefulRoute
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

#: What the API server fills in where a policy leaves it out: a policy that says otherwise is not in force everywhere.
_EVERYWHERE: dict[str, Any] = {"namespaceSelector": {}, "objectSelector": {}}


async def check_definitions(cluster: Cluster) -> AsyncIterator[CheckResult]:
    """Whether both kinds are installed, as this version has them."""
    wrong = False
    for model in (PodLink, StatefulRoute):
        found = await _check_definition(cluster, model)
        if found is not None:
            wrong = True
            yield found
    if not wrong:
        message = (
            f"{POD_LINK.kind} and {STATEFUL_ROUTE.kind} are installed as version {version('statefulroute')} has them"
        )
        yield CheckResult(_DEFINITIONS, Level.OK, message)


async def _check_definition(cluster: Cluster, model: type[PodLink | StatefulRoute]) -> CheckResult | None:
    expected, kind = _plain(custom_resource_definition(model)), model.names.kind
    try:
        served = await cluster.get(f"{_CRDS}/{model.names.crd_name}")
    except NotFoundError:
        return CheckResult(_DEFINITIONS, Level.PROBLEM, f"the kind {kind} is not installed", _APPLY_CRDS)
    except APIError as error:
        if error.status != _FORBIDDEN:
            raise
        return await _check_discovery(cluster, model)
    states = {each["type"]: each["status"] for each in served.get("status", {}).get("conditions", ())}
    if states.get("Established") != "True":
        return CheckResult(
            _DEFINITIONS,
            Level.PROBLEM,
            f"the API server does not serve {kind} yet",
            f"kubectl describe crd {model.names.crd_name}",
        )
    (wanted,) = expected["spec"]["versions"]
    there = next((each for each in served["spec"]["versions"] if each["name"] == wanted["name"]), None)
    if there is None or not there["served"]:
        return CheckResult(_DEFINITIONS, Level.PROBLEM, f"{kind} is not served as {API_VERSION}", _APPLY_CRDS)
    where = difference(wanted, there, exact=True)
    if where:
        return CheckResult(
            _DEFINITIONS,
            Level.PROBLEM,
            f"{kind} is installed, but not as version {version('statefulroute')} has it: {where} differs",
            _APPLY_CRDS,
        )
    return None


async def _check_discovery(cluster: Cluster, model: type[PodLink | StatefulRoute]) -> CheckResult:
    """Whoever may not read definitions can still see which kinds are served."""
    try:
        served = await cluster.get(f"/apis/{API_VERSION}")
        is_served = model.names.plural in {each["name"] for each in served["resources"]}
    except NotFoundError:
        is_served = False
    if not is_served:
        return CheckResult(_DEFINITIONS, Level.PROBLEM, f"the kind {model.names.kind} is not installed", _APPLY_CRDS)
    message = f"{model.names.kind} is served; you have no right to see whether it is this version's"
    return CheckResult(_DEFINITIONS, Level.NOTICE, message)


async def check_policies(cluster: Cluster) -> AsyncIterator[CheckResult]:
    """Whether both admission policies are in force."""
    wrong = False
    for policy, binding in (namespace_locality(), own_pod()):
        policy["spec"]["matchConstraints"] = _EVERYWHERE | policy["spec"]["matchConstraints"]
        for part, plural in ((policy, "validatingadmissionpolicies"), (binding, "validatingadmissionpolicybindings")):
            found = await _check_part(cluster, _plain(part), plural)
            if found is not None:
                wrong = True
                yield found
    if not wrong:
        yield CheckResult(_POLICIES, Level.OK, "both admission policies are in force")


async def _check_part(cluster: Cluster, expected: Object, plural: str) -> CheckResult | None:
    kind, name = expected["kind"], expected["metadata"]["name"]
    try:
        served = await cluster.get(f"{_ADMISSION}/{plural}/{name}")
    except NotFoundError:
        return CheckResult(_POLICIES, Level.PROBLEM, f"the {kind} {name} is missing", _APPLY_POLICIES)
    except APIError as error:
        if error.status != _FORBIDDEN:
            raise
        return CheckResult(_POLICIES, Level.NOTICE, f"you have no right to see the {kind} {name}")
    is_binding = "policyName" in expected["spec"]
    where = difference(expected["spec"], served["spec"], "spec", exact=is_binding)
    if where:
        return CheckResult(
            _POLICIES, Level.PROBLEM, f"the {kind} {name} is not this version's: {where} differs", _APPLY_POLICIES
        )
    return None


def difference(expected: Any, served: Any, path: str = "", *, exact: bool) -> str:  # noqa: ANN401 - JSON
    """Where two values of JSON differ first, as a path; empty where they do not.

    Args:
        expected: how it should be.
        served: how it is.
        path: where the two are.
        exact: fields that only the second one has are a difference, too; an empty object allows none in any case.
    """
    if isinstance(expected, dict) and isinstance(served, dict):
        fields = expected.keys() | served.keys() if exact or not expected else expected.keys()
        for field in sorted(fields):
            within = f"{path}.{field}".lstrip(".")
            if (field in expected) != (field in served):
                return within
            if found := difference(expected[field], served[field], within, exact=exact):
                return found
        return ""
    if isinstance(expected, list) and isinstance(served, list) and len(expected) == len(served):
        pairs = enumerate(zip(expected, served, strict=True))
        return next((found for i, (a, b) in pairs if (found := difference(a, b, f"{path}[{i}]", exact=exact))), "")
    return "" if expected == served else path


def _plain(item: object) -> Any:  # noqa: ANN401 - JSON
    """The same without enums and tuples, as it comes back from the API server."""
    return json.loads(json.dumps(item))


_READS = ("get", "list", "watch")
#: Rights that commands need besides reading: what cannot be done without them.
_CHANGES = (
    ("create", POD_LINK, "link, import"),
    ("patch", POD_LINK, "link, move"),
    ("delete", POD_LINK, "unlink"),
    ("patch", STATEFUL_ROUTE, "drain, undrain, set-state"),
)


async def check_rights(cluster: Cluster) -> AsyncIterator[CheckResult]:
    """What whoever asks may do here. Not to be allowed to look is a problem; not to be allowed to change is not."""
    asked = [(verb, kind, "") for kind in (POD_LINK, STATEFUL_ROUTE) for verb in _READS] + [*_CHANGES]
    answers = await asyncio.gather(*(_may(cluster, verb, kind.plural) for verb, kind, _ in asked))
    where = f"in namespace {cluster.namespace!r}" if cluster.namespace else "in all namespaces"
    lacking = [wish for wish, may in zip(asked, answers, strict=True) if not may]
    for verb, kind, use in lacking:
        if use:
            yield CheckResult(_RIGHTS, Level.NOTICE, f"you may not {verb} {kind.plural} {where}: no {use} for you")
        else:
            remedy = f"kubectl create role ... --verb={verb} --resource={kind.plural}.{GROUP}, and bind it to you"
            yield CheckResult(_RIGHTS, Level.PROBLEM, f"you may not {verb} {kind.plural} {where}", remedy)
    if not lacking:
        yield CheckResult(_RIGHTS, Level.OK, f"you may see and change links and routes {where}")


async def _may(cluster: Cluster, verb: str, plural: str) -> bool:
    attributes = {"group": GROUP, "resource": plural, "verb": verb}
    if cluster.namespace:
        attributes["namespace"] = cluster.namespace
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = msgspec.json.decode(await cluster.client.post(_REVIEWS, msgspec.json.encode(review)))
    return bool(answer["status"]["allowed"])
