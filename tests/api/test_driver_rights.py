"""The permissions of servers and clients, with their tokens, and the effect of the policies on other accounts."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from localcluster import LocalCluster
from support.api_user import APIUser
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.objects import pod_link, stateful_route
from support.rbac import apply_role, create_account, operator_role
from support.waiting import eventually

EVERYTHING_WITH_ROUTES = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "everything-with-routes"},
    "rules": [{"apiGroups": ["statefulroute.io"], "resources": ["*"], "verbs": ["*"]}],
}

REPORT = {
    "statefulroute.io/load-state": "3",
    "statefulroute.io/waiting-tasks": "5",
    "statefulroute.io/report-time": "2026-01-01T00:00:00Z",
    "statefulroute.io/routing-state": "DenyNewCall",
}
#: Annotations of other clients on the pods of the tests.
OTHER_ANNOTATIONS = {"example.com/owner": "us", "statefulroute.io/weighted-load": "1"}

OWN_POD_ONLY = "a server pod may annotate only itself"
UNBOUND = "a server needs a token that is bound to its pod: this one is bound to none"
ANNOTATIONS = (
    "of its annotations a server pod may change only statefulroute.io/load-state, statefulroute.io/waiting-tasks, "
    "statefulroute.io/report-time, statefulroute.io/routing-state"
)
METADATA = "of its metadata a server pod may change only annotations"
SPEC = "a server pod may not change its spec"


@dataclass(frozen=True)
class Identities:
    """The accounts of a namespace with two pods of one ServiceAccount.

    Attributes:
        administrator: created the objects.
        server: has the token of the pod game-0.
        unbound_server: has a token of the same account that is bound to no pod.
        client: has the client Role.
        others: have other permissions, by the name of the account.
    """

    administrator: APIUser
    server: APIUser
    unbound_server: APIUser
    client: APIUser
    others: Mapping[str, APIUser]

    @property
    def namespace(self) -> str:
        return self.administrator.namespace


def report_change(**values: str | None) -> dict[str, Any]:
    """Returns a patch of annotations of this API group."""
    return annotation_patch({f"statefulroute.io/{name.replace('_', '-')}": value for name, value in values.items()})


def annotation_patch(annotations: Mapping[str, str | None] | None) -> dict[str, Any]:
    return {"metadata": {"annotations": annotations}}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "game"}, "annotations": OTHER_ANNOTATIONS},
        "spec": {
            "serviceAccountName": "server",
            "containers": [{"name": "room", "image": "room.invalid/room"}],
            **spec,
        },
    }


def denied(name: str, message: str) -> str:
    """Returns the error of the API server for a change of a pod that the policy denies."""
    policy = "own-pod.statefulroute.io"
    return (
        f'pods "{name}" is forbidden: '
        f"ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: {message}"
    )


# The fixture.


@pytest.fixture(scope="module")
def identities(installed: Kubectl, cluster: LocalCluster) -> Iterator[Identities]:
    if installed.run("get", "--raw", "/apis/rbac.authorization.k8s.io/v1").code:
        pytest.skip("this cluster has no RBAC")
    with ExitStack() as stack:
        namespace = stack.enter_context(fresh_namespace(installed))
        here = installed.within(namespace)
        here.create(EVERYTHING_WITH_ROUTES)
        server, client = apply_role(here, "server"), apply_role(here, "client")
        operator = stack.enter_context(operator_role(installed, f"operator-{namespace}"))
        for granted in (
            create_account(here, "server", server),
            create_account(here, "client", client),
            create_account(here, "server-with-routes", "Role/everything-with-routes", server),
            create_account(here, "team", "Role/everything-with-routes", "ClusterRole/edit"),
            create_account(here, "operator", operator, cluster_wide=True),
            create_account(here, "cluster-admin", "ClusterRole/cluster-admin", cluster_wide=True),
        ):
            stack.enter_context(granted)
        administrator = APIUser.of(cluster.kubeconfig, namespace)
        administrator.request("POST", "statefulroutes", stateful_route()).expect_success()
        game = administrator.request("POST", "pods", pod("game-0")).expect_success()
        administrator.request("POST", "pods", pod("game-1")).expect_success()
        others = {
            name: administrator.as_account(name) for name in ("server-with-routes", "team", "operator", "cluster-admin")
        }
        identities = Identities(
            administrator,
            server=administrator.as_account("server", game),
            unbound_server=administrator.as_account("server"),
            client=administrator.as_account("client"),
            others={**others, "administrator": administrator},
        )
        _await_permissions(identities)
        yield identities


def _await_permissions(identities: Identities) -> None:
    """Waits until the permissions and the policy are in force."""
    last_permissions = {
        "server-with-routes": ("DELETE", "statefulroutes?labelSelector=no=such"),
        "team": ("GET", "pods"),
        "operator": ("GET", "/api/v1/nodes"),
        "cluster-admin": ("GET", "secrets"),
    }
    for name, request in last_permissions.items():
        eventually(
            lambda account=identities.others[name], path=request: not account.request(*path).error_message,
            f"the permissions of {name} are in force",
        )
    eventually(
        lambda: not identities.client.request("GET", "pods").error_message, "the permissions of the client are in force"
    )
    foreign = "pods/game-1?dryRun=All"
    for user, message in ((identities.server, OWN_POD_ONLY), (identities.others["server-with-routes"], UNBOUND)):
        eventually(
            lambda account=user, message=message: (
                account.patch(foreign, annotation_patch(REPORT)).error_message == denied("game-1", message)
            ),
            "the policy is in force",
        )


# A server and its pod.


@pytest.mark.parametrize("name", REPORT)
def test_server_sets_and_removes_the_report_of_its_pod(identities: Identities, name: str) -> None:
    pod_object = identities.server.patch("pods/game-0", annotation_patch({name: REPORT[name]})).expect_success()
    assert pod_object["metadata"]["annotations"] == {**OTHER_ANNOTATIONS, name: REPORT[name]}
    pod_object = identities.server.patch("pods/game-0", annotation_patch({name: None})).expect_success()
    assert pod_object["metadata"]["annotations"] == OTHER_ANNOTATIONS


@pytest.mark.parametrize("patch", ["merge", "strategic", "apply"])
def test_server_reports_with_each_type_of_patch(identities: Identities, patch: str) -> None:
    options = "?fieldManager=driver" if patch == "apply" else ""
    change = {"apiVersion": "v1", "kind": "Pod", **annotation_patch(REPORT)}
    pod_object = identities.server.patch(f"pods/game-0{options}", change, patch).expect_success()
    assert pod_object["metadata"]["annotations"] == {**OTHER_ANNOTATIONS, **REPORT}
    identities.server.patch("pods/game-0", annotation_patch(dict.fromkeys(REPORT))).expect_success()


def test_pod_with_thousands_of_annotations_can_report(identities: Identities) -> None:
    many = {f"example.com/{number:04}": "x" * 80 for number in range(2000)}
    busy = identities.administrator.request("POST", "pods", pod("busy")).expect_success()
    identities.administrator.patch("pods/busy", annotation_patch(many)).expect_success()
    identities.administrator.as_account("server", busy).patch("pods/busy", annotation_patch(REPORT)).expect_success()


OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "game-1", "uid": "7d3fba28-0000-4000-8000-000000000000"}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an annotation of others is added": (annotation_patch({"example.com/more": "1"}), ANNOTATIONS),
    "an annotation of others is changed": (annotation_patch({"example.com/owner": "me"}), ANNOTATIONS),
    "an annotation of others is removed": (annotation_patch({"example.com/owner": None}), ANNOTATIONS),
    "an annotation of the operator is changed": (report_change(weighted_load="0"), ANNOTATIONS),
    "an annotation of the operator is removed": (report_change(weighted_load=None), ANNOTATIONS),
    "the deletion cost is set": (annotation_patch({"controller.kubernetes.io/pod-deletion-cost": "9"}), ANNOTATIONS),
    "an annotation with a similar name": (report_change(load_states="1"), ANNOTATIONS),
    "all annotations are removed": (annotation_patch(None), ANNOTATIONS),
    "an annotation of others along with the report": (
        annotation_patch({**REPORT, "example.com/more": "1"}),
        ANNOTATIONS,
    ),
    "a label is added": ({"metadata": {"labels": {"role": "main"}}}, METADATA),
    "a label is changed": ({"metadata": {"labels": {"app": "chat"}}}, METADATA),
    "the labels are removed": ({"metadata": {"labels": None}}, METADATA),
    "a label along with the report": ({"metadata": {"labels": {"app": None}, "annotations": REPORT}}, METADATA),
    "a finalizer": ({"metadata": {"finalizers": ["example.com/stay"]}}, METADATA),
    "an owner": ({"metadata": {"ownerReferences": [OWNER]}}, METADATA),
    "a generateName": ({"metadata": {"generateName": "game-"}}, METADATA),
    "a selfLink": ({"metadata": {"selfLink": "/here"}}, METADATA),
    "the image": ({"spec": {"containers": [{"name": "room", "image": "evil.invalid/room"}]}}, SPEC),
    "a deadline": ({"spec": {"activeDeadlineSeconds": 1}}, SPEC),
    "a deadline along with the report": ({"spec": {"activeDeadlineSeconds": 1}, **annotation_patch(REPORT)}, SPEC),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_server_can_change_nothing_else_of_its_pod(
    identities: Identities, change: dict[str, Any], message: str
) -> None:
    response = identities.server.patch("pods/game-0", change, "strategic")
    assert (response.code, response.object.get("reason")) == (403, "Forbidden")
    assert response.error_message == denied("game-0", message)


@pytest.mark.parametrize(
    ("patch", "change"),
    [
        ("json", [{"op": "remove", "path": "/metadata/annotations/example.com~1owner"}]),
        ("merge", annotation_patch({"example.com/owner": None})),
        ("apply", {"apiVersion": "v1", "kind": "Pod", **annotation_patch({"example.com/owner": "me"})}),
    ],
)
def test_each_type_of_patch_is_restricted(identities: Identities, patch: str, change: Any) -> None:
    options = "?fieldManager=driver&force=true" if patch == "apply" else ""
    assert identities.server.patch(f"pods/game-0{options}", change, patch).error_message == denied(
        "game-0", ANNOTATIONS
    )


@pytest.mark.parametrize("change", [annotation_patch(REPORT), {"metadata": {"labels": {"app": "chat"}}}])
def test_server_cannot_annotate_another_pod_of_its_account(identities: Identities, change: dict[str, Any]) -> None:
    response = identities.server.patch("pods/game-1", change)
    assert (response.code, response.error_message) == (403, denied("game-1", OWN_POD_ONLY))


@pytest.mark.parametrize("name", ["game-0", "game-1"])
def test_unbound_token_cannot_annotate_any_pod(identities: Identities, name: str) -> None:
    response = identities.unbound_server.patch(f"pods/{name}", annotation_patch(REPORT))
    assert (response.code, response.error_message) == (403, denied(name, UNBOUND))


def test_token_of_a_deleted_pod_cannot_annotate_the_next_pod_of_the_same_name(identities: Identities) -> None:
    # The pod is not scheduled, so only this test deletes it.
    unscheduled_pod = pod("again", schedulingGates=[{"name": "example.com/never"}])
    first = identities.administrator.request("POST", "pods", unscheduled_pod).expect_success()
    token = identities.administrator.as_account("server", first)
    token.patch("pods/again", annotation_patch(REPORT)).expect_success()
    identities.administrator.request("DELETE", "pods/again").expect_success()
    identities.administrator.request("POST", "pods", unscheduled_pod).expect_success()
    response = token.patch("pods/again", annotation_patch(REPORT))
    # The API server accepts the token for a few more seconds, which a slow machine may exceed.
    assert response.error_message in {denied("again", OWN_POD_ONLY), "Unauthorized"}


@pytest.mark.parametrize(
    ("name", "uid", "message"),
    [
        (True, True, None),
        (True, False, OWN_POD_ONLY),
        (False, True, OWN_POD_ONLY),
        (True, None, UNBOUND),
        (None, True, UNBOUND),
    ],
    ids=["both", "another UID", "another name", "no UID", "no name"],
)
def test_token_must_contain_the_name_and_the_uid_of_the_pod(
    identities: Identities, name: bool | None, uid: bool | None, message: str | None
) -> None:
    own = identities.administrator.request("GET", "pods/game-0").expect_success()["metadata"]
    values = {"pod_name": own["name"] if name else "game-1", "pod_uid": own["uid"] if uid else OWNER["uid"]}
    claims = {
        key: value for (key, value), included in zip(values.items(), (name, uid), strict=True) if included is not None
    }
    user = identities.administrator.impersonating(f"system:serviceaccount:{identities.namespace}:server", **claims)
    response = user.patch("pods/game-0?dryRun=All", annotation_patch(REPORT))
    assert response.error_message == (message and denied("game-0", message))


# Other accounts.

UNRESTRICTED = {
    "operator annotates the load": ("operator", report_change(weighted_load="2.5")),
    "operator annotates the deletion cost": (
        "operator",
        annotation_patch({"controller.kubernetes.io/pod-deletion-cost": "7"}),
    ),
    "administrator labels": ("administrator", {"metadata": {"labels": {"app": "chat"}}}),
    "administrator drains": ("administrator", report_change(routing_state="Shutdown")),
    "cluster admin labels": ("cluster-admin", {"metadata": {"labels": {"app": "chat"}}}),
    "cluster admin annotates": ("cluster-admin", annotation_patch({"example.com/owner": "me"})),
    "account with all verbs on routes and pods labels": ("team", {"metadata": {"labels": {"app": "chat"}}}),
}


@pytest.mark.parametrize(("account", "change"), UNRESTRICTED.values(), ids=UNRESTRICTED)
def test_accounts_other_than_servers_are_not_restricted(
    identities: Identities, account: str, change: dict[str, Any]
) -> None:
    identities.others[account].patch("pods/game-0?dryRun=All", change).expect_success()


def test_user_with_the_server_role_is_not_restricted(identities: Identities) -> None:
    user = identities.administrator.impersonating(f"server-{identities.namespace}")
    user.patch("pods/game-1?dryRun=All", annotation_patch({"example.com/owner": "me"})).expect_success()


def test_server_with_all_verbs_on_routes_is_restricted(identities: Identities) -> None:
    response = identities.others["server-with-routes"].patch("pods/game-1", annotation_patch(REPORT))
    assert response.error_message == denied("game-1", UNBOUND)


# The roles.


@pytest.mark.parametrize("account", ["server", "client"])
def test_servers_and_clients_create_renew_move_and_delete_links(identities: Identities, account: str) -> None:
    user: APIUser = getattr(identities, account)
    link = f"podlinks/game.{account}"
    user.request("POST", "podlinks", pod_link(uid=account, podIndex=0, ttlSeconds=300)).expect_success()
    user.patch(link, {"spec": {"renewTime": "2026-01-01T00:00:00Z"}}).expect_success()
    user.patch(link, {"spec": {"podIndex": 1}}).expect_success()
    assert user.request("GET", link).expect_success()["spec"]["podIndex"] == 1
    listed = user.request("GET", "podlinks").expect_success()["items"]
    assert f"game.{account}" in [each["metadata"]["name"] for each in listed]
    user.request("DELETE", link).expect_success()


READABLE = {
    "server": [
        "pods/game-0",
        "statefulroutes/game",
        "statefulroutes",
        "statefulroutes?watch=true",
        "podlinks?watch=true",
    ],
    "client": [
        *("pods/game-0", "pods", "pods?watch=true"),
        *("statefulroutes/game", "statefulroutes", "statefulroutes?watch=true", "podlinks?watch=true"),
    ],
}


@pytest.mark.parametrize(
    ("account", "path"), [(account, path) for account, paths in READABLE.items() for path in paths]
)
def test_servers_and_clients_can_read_granted_resources(identities: Identities, account: str, path: str) -> None:
    getattr(identities, account).request("GET", path).expect_success()


LINKS, ROUTES = ('"podlinks" in API group "statefulroute.io"', '"statefulroutes" in API group "statefulroute.io"')
KINDS, ELSEWHERE = "/apis/statefulroute.io/v1alpha1", "namespaces/kube-system"
FORBIDDEN_FOR_BOTH = {
    "GET secrets": 'list resource "secrets" in API group ""',
    "GET secrets/token": 'get resource "secrets" in API group ""',
    "GET configmaps": 'list resource "configmaps" in API group ""',
    "GET pods/game-0/log": 'get resource "pods/log" in API group ""',
    "POST pods": 'create resource "pods" in API group ""',
    "PUT pods/game-0": 'update resource "pods" in API group ""',
    "DELETE pods/game-0": 'delete resource "pods" in API group ""',
    "DELETE pods": 'deletecollection resource "pods" in API group ""',
    "PATCH pods/game-0/status": 'patch resource "pods/status" in API group ""',
    "PATCH pods/game-0/resize": 'patch resource "pods/resize" in API group ""',
    "PATCH pods/game-0/ephemeralcontainers": 'patch resource "pods/ephemeralcontainers" in API group ""',
    "POST pods/game-0/exec": 'create resource "pods/exec" in API group ""',
    "POST pods/game-0/eviction": 'create resource "pods/eviction" in API group ""',
    "POST serviceaccounts/server/token": 'create resource "serviceaccounts/token" in API group ""',
    "GET /api/v1/nodes": 'list resource "nodes" in API group "" at the cluster scope',
    "POST statefulroutes": f"create resource {ROUTES}",
    "PATCH statefulroutes/game": f"patch resource {ROUTES}",
    "DELETE statefulroutes/game": f"delete resource {ROUTES}",
    "PATCH statefulroutes/game/status": 'patch resource "statefulroutes/status" in API group "statefulroute.io"',
    "PUT podlinks/game.alice": f"update resource {LINKS}",
    "DELETE podlinks": f"deletecollection resource {LINKS}",
    "PATCH podlinks/game.alice/status": 'patch resource "podlinks/status" in API group "statefulroute.io"',
    f"GET /api/v1/{ELSEWHERE}/pods/x": 'get resource "pods" in API group "" in the namespace "kube-system"',
    f"PATCH /api/v1/{ELSEWHERE}/pods/x": 'patch resource "pods" in API group "" in the namespace "kube-system"',
    f"GET {KINDS}/{ELSEWHERE}/podlinks": f'list resource {LINKS} in the namespace "kube-system"',
    f"POST {KINDS}/{ELSEWHERE}/podlinks": f'create resource {LINKS} in the namespace "kube-system"',
    f"GET {KINDS}/statefulroutes": f"list resource {ROUTES} at the cluster scope",
}
FORBIDDEN = [
    *((account, request, cannot) for account in ("server", "client") for request, cannot in FORBIDDEN_FOR_BOTH.items()),
    ("server", "GET pods", 'list resource "pods" in API group ""'),
    ("server", "GET pods?watch=true", 'watch resource "pods" in API group ""'),
    ("client", "PATCH pods/game-0", 'patch resource "pods" in API group ""'),
]


@pytest.mark.parametrize(
    ("account", "request_", "cannot"), FORBIDDEN, ids=[f"{account} {path}" for account, path, _ in FORBIDDEN]
)
def test_servers_and_clients_can_do_nothing_else(
    identities: Identities, account: str, request_: str, cannot: str
) -> None:
    method, path = request_.split()
    body = {} if method in {"POST", "PUT", "PATCH"} else None
    response = getattr(identities, account).request(method, path, body)
    assert response.code == 403
    user = f"system:serviceaccount:{identities.namespace}:{account}"
    assert f'User "{user}" cannot {cannot}' in str(response.error_message)


# The policies themselves.


@pytest.mark.parametrize(
    "name",
    ["own-pod.statefulroute.io", "local-namespace.podlinks.statefulroute.io", "operator-writes.statefulroute.io"],
)
def test_policy_passes_the_type_checks_of_the_api_server(installed: Kubectl, cluster: LocalCluster, name: str) -> None:
    if not cluster.has_controllers:
        pytest.skip("this cluster does not check the types of policies")

    def is_checked() -> bool:
        policy = installed.get_json("validatingadmissionpolicy", name)
        return bool(policy.get("status", {}).get("observedGeneration") == policy["metadata"]["generation"])

    eventually(is_checked, "the types of the policy are checked")
    assert installed.get_json("validatingadmissionpolicy", name)["status"]["typeChecking"] == {}
