"""What servers and clients may do in their namespace, asked with tokens of their own; and what the others still may."""

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
#: What the pods of the tests are annotated with by others.
OF_OTHERS = {"example.com/owner": "us", "statefulroute.io/weighted-load": "1"}

ITSELF = "a server pod may annotate only itself"
UNBOUND = "a server needs a token that is bound to its pod: this one is bound to none"
ANNOTATIONS = (
    "of its annotations a server pod may change only statefulroute.io/load-state, statefulroute.io/waiting-tasks, "
    "statefulroute.io/report-time, statefulroute.io/routing-state"
)
METADATA = "of its metadata a server pod may change only annotations"
SPEC = "a server pod may not change its spec"


@dataclass(frozen=True)
class Identities:
    """A namespace with two pods of one ServiceAccount, and everybody who asks for something there.

    Attributes:
        administrator: Who made it all.
        server: Has the token of the pod game-0.
        unbound_server: Has a token of the same account that is bound to no pod.
        client: An application.
        others: Who has other rights besides, or only others, by the name of the account.
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
    """A change of annotations of this group."""
    return annotated({f"statefulroute.io/{name.replace('_', '-')}": value for name, value in values.items()})


def annotated(annotations: Mapping[str, str | None] | None) -> dict[str, Any]:
    return {"metadata": {"annotations": annotations}}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "game"}, "annotations": OF_OTHERS},
        "spec": {
            "serviceAccountName": "server",
            "containers": [{"name": "room", "image": "room.invalid/room"}],
            **spec,
        },
    }


def denied(name: str, sentence: str) -> str:
    """The API server's whole answer to a change of a pod that the policy refuses."""
    policy = "own-pod.statefulroute.io"
    return (
        f'pods "{name}" is forbidden: '
        f"ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: {sentence}"
    )


# The place.


@pytest.fixture(scope="module")
def place(installed: Kubectl, cluster: LocalCluster) -> Iterator[Identities]:
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
            create_account(here, "spoiled", "Role/everything-with-routes", server),
            create_account(here, "team", "Role/everything-with-routes", "ClusterRole/edit"),
            create_account(here, "operator", operator, cluster_wide=True),
            create_account(here, "chief", "ClusterRole/cluster-admin", cluster_wide=True),
        ):
            stack.enter_context(granted)
        administrator = APIUser.of(cluster.kubeconfig, namespace)
        administrator.request("POST", "statefulroutes", stateful_route()).expect_success()
        game = administrator.request("POST", "pods", pod("game-0")).expect_success()
        administrator.request("POST", "pods", pod("game-1")).expect_success()
        others = {name: administrator.as_account(name) for name in ("spoiled", "team", "operator", "chief")}
        made = Identities(
            administrator,
            server=administrator.as_account("server", game),
            unbound_server=administrator.as_account("server"),
            client=administrator.as_account("client"),
            others={**others, "administrator": administrator},
        )
        _await_all_in_force(made)
        yield made


def _await_all_in_force(place: Identities) -> None:
    """Wait until everybody has all the rights that they were given, and servers are held by the policy."""
    last_given = {
        "spoiled": ("DELETE", "statefulroutes?labelSelector=no=such"),
        "team": ("GET", "pods"),
        "operator": ("GET", "/api/v1/nodes"),
        "chief": ("GET", "secrets"),
    }
    for name, request in last_given.items():
        eventually(
            lambda who=place.others[name], what=request: not who.request(*what).error_message, f"{name} has its rights"
        )
    eventually(lambda: not place.client.request("GET", "pods").error_message, "the client has its rights")
    foreign = "pods/game-1?dryRun=All"
    for person, sentence in ((place.server, ITSELF), (place.others["spoiled"], UNBOUND)):
        eventually(
            lambda who=person, says=sentence: (
                who.patch(foreign, annotated(REPORT)).error_message == denied("game-1", says)
            ),
            "the policy holds servers",
        )


# A server and its pod.


@pytest.mark.parametrize("name", REPORT)
def test_a_server_reports_on_its_own_pod_and_takes_it_back(place: Identities, name: str) -> None:
    told = place.server.patch("pods/game-0", annotated({name: REPORT[name]})).expect_success()
    assert told["metadata"]["annotations"] == {**OF_OTHERS, name: REPORT[name]}
    told = place.server.patch("pods/game-0", annotated({name: None})).expect_success()
    assert told["metadata"]["annotations"] == OF_OTHERS


@pytest.mark.parametrize("patch", ["merge", "strategic", "apply"])
def test_a_server_reports_with_any_kind_of_patch(place: Identities, patch: str) -> None:
    options = "?fieldManager=driver" if patch == "apply" else ""
    change = {"apiVersion": "v1", "kind": "Pod", **annotated(REPORT)}
    told = place.server.patch(f"pods/game-0{options}", change, patch).expect_success()
    assert told["metadata"]["annotations"] == {**OF_OTHERS, **REPORT}
    place.server.patch("pods/game-0", annotated(dict.fromkeys(REPORT))).expect_success()


def test_a_pod_that_others_have_annotated_thousandfold_can_still_report(place: Identities) -> None:
    many = {f"example.com/{number:04}": "x" * 80 for number in range(2000)}
    busy = place.administrator.request("POST", "pods", pod("busy")).expect_success()
    place.administrator.patch("pods/busy", annotated(many)).expect_success()
    place.administrator.as_account("server", busy).patch("pods/busy", annotated(REPORT)).expect_success()


OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "game-1", "uid": "7d3fba28-0000-4000-8000-000000000000"}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an annotation of others is added": (annotated({"example.com/more": "1"}), ANNOTATIONS),
    "an annotation of others is changed": (annotated({"example.com/owner": "me"}), ANNOTATIONS),
    "an annotation of others is removed": (annotated({"example.com/owner": None}), ANNOTATIONS),
    "a note of the operator is changed": (report_change(weighted_load="0"), ANNOTATIONS),
    "a note of the operator is removed": (report_change(weighted_load=None), ANNOTATIONS),
    "the deletion cost is set": (annotated({"controller.kubernetes.io/pod-deletion-cost": "9"}), ANNOTATIONS),
    "an annotation that is hardly its own": (report_change(load_states="1"), ANNOTATIONS),
    "all annotations are removed": (annotated(None), ANNOTATIONS),
    "an annotation of others along with the report": (annotated({**REPORT, "example.com/more": "1"}), ANNOTATIONS),
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
    "a deadline along with the report": ({"spec": {"activeDeadlineSeconds": 1}, **annotated(REPORT)}, SPEC),
}


@pytest.mark.parametrize(("change", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_server_may_change_nothing_else_of_its_pod(place: Identities, change: dict[str, Any], sentence: str) -> None:
    answer = place.server.patch("pods/game-0", change, "strategic")
    assert (answer.code, answer.object.get("reason")) == (403, "Forbidden")
    assert answer.error_message == denied("game-0", sentence)


@pytest.mark.parametrize(
    ("patch", "change"),
    [
        ("json", [{"op": "remove", "path": "/metadata/annotations/example.com~1owner"}]),
        ("merge", annotated({"example.com/owner": None})),
        ("apply", {"apiVersion": "v1", "kind": "Pod", **annotated({"example.com/owner": "me"})}),
    ],
)
def test_no_kind_of_patch_is_a_way_around(place: Identities, patch: str, change: Any) -> None:
    options = "?fieldManager=driver&force=true" if patch == "apply" else ""
    assert place.server.patch(f"pods/game-0{options}", change, patch).error_message == denied("game-0", ANNOTATIONS)


@pytest.mark.parametrize("change", [annotated(REPORT), {"metadata": {"labels": {"app": "chat"}}}])
def test_a_server_may_not_annotate_another_pod_of_its_own_account(place: Identities, change: dict[str, Any]) -> None:
    answer = place.server.patch("pods/game-1", change)
    assert (answer.code, answer.error_message) == (403, denied("game-1", ITSELF))


@pytest.mark.parametrize("name", ["game-0", "game-1"])
def test_a_servers_token_that_is_bound_to_no_pod_may_annotate_none(place: Identities, name: str) -> None:
    answer = place.unbound_server.patch(f"pods/{name}", annotated(REPORT))
    assert (answer.code, answer.error_message) == (403, denied(name, UNBOUND))


def test_the_token_of_a_pod_that_has_gone_is_not_good_for_the_next_one_of_its_name(place: Identities) -> None:
    # Nothing runs it, so nothing but this test deletes it.
    waiting = pod("again", schedulingGates=[{"name": "example.com/never"}])
    first = place.administrator.request("POST", "pods", waiting).expect_success()
    token = place.administrator.as_account("server", first)
    token.patch("pods/again", annotated(REPORT)).expect_success()
    place.administrator.request("DELETE", "pods/again").expect_success()
    place.administrator.request("POST", "pods", waiting).expect_success()
    answer = token.patch("pods/again", annotated(REPORT))
    # The API server takes it for good for some seconds more. On a slow machine they may be over.
    assert answer.error_message in {denied("again", ITSELF), "Unauthorized"}


@pytest.mark.parametrize(
    ("name", "uid", "sentence"),
    [
        (True, True, None),
        (True, False, ITSELF),
        (False, True, ITSELF),
        (True, None, UNBOUND),
        (None, True, UNBOUND),
    ],
    ids=["both", "the UID is another's", "the name is another's", "no UID", "no name"],
)
def test_the_name_and_the_uid_that_a_token_says_must_be_the_pods(
    place: Identities, name: bool | None, uid: bool | None, sentence: str | None
) -> None:
    own = place.administrator.request("GET", "pods/game-0").expect_success()["metadata"]
    says = {"pod_name": own["name"] if name else "game-1", "pod_uid": own["uid"] if uid else OWNER["uid"]}
    said = {key: value for (key, value), given in zip(says.items(), (name, uid), strict=True) if given is not None}
    person = place.administrator.impersonating(f"system:serviceaccount:{place.namespace}:server", **said)
    answer = person.patch("pods/game-0?dryRun=All", annotated(REPORT))
    assert answer.error_message == (sentence and denied("game-0", sentence))


# Everybody else.

FREE = {
    "the operator notes a load": ("operator", report_change(weighted_load="2.5")),
    "the operator notes the deletion cost": (
        "operator",
        annotated({"controller.kubernetes.io/pod-deletion-cost": "7"}),
    ),
    "the administrator labels": ("administrator", {"metadata": {"labels": {"app": "chat"}}}),
    "the administrator drains by hand": ("administrator", report_change(routing_state="Shutdown")),
    "an account that may do everything labels": ("chief", {"metadata": {"labels": {"app": "chat"}}}),
    "an account that may do everything annotates": ("chief", annotated({"example.com/owner": "me"})),
    "an account that has both routes and pods in its hands labels": ("team", {"metadata": {"labels": {"app": "chat"}}}),
}


@pytest.mark.parametrize(("who", "change"), FREE.values(), ids=FREE)
def test_who_is_no_server_is_not_touched(place: Identities, who: str, change: dict[str, Any]) -> None:
    place.others[who].patch("pods/game-0?dryRun=All", change).expect_success()


def test_a_person_with_the_servers_role_is_not_touched(place: Identities) -> None:
    ann = place.administrator.impersonating(f"server-{place.namespace}")
    ann.patch("pods/game-1?dryRun=All", annotated({"example.com/owner": "me"})).expect_success()


def test_a_server_that_may_do_everything_with_routes_is_held_all_the_same(place: Identities) -> None:
    answer = place.others["spoiled"].patch("pods/game-1", annotated(REPORT))
    assert answer.error_message == denied("game-1", UNBOUND)


# The roles.


@pytest.mark.parametrize("who", ["server", "client"])
def test_servers_and_clients_bind_renew_rebind_and_release(place: Identities, who: str) -> None:
    person: APIUser = getattr(place, who)
    link = f"podlinks/game.{who}"
    person.request("POST", "podlinks", pod_link(uid=who, podIndex=0, ttlSeconds=300)).expect_success()
    person.patch(link, {"spec": {"renewTime": "2026-01-01T00:00:00Z"}}).expect_success()
    person.patch(link, {"spec": {"podIndex": 1}}).expect_success()
    assert person.request("GET", link).expect_success()["spec"]["podIndex"] == 1
    listed = person.request("GET", "podlinks").expect_success()["items"]
    assert f"game.{who}" in [each["metadata"]["name"] for each in listed]
    person.request("DELETE", link).expect_success()


MAY_READ = {
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


@pytest.mark.parametrize(("who", "what"), [(who, what) for who, paths in MAY_READ.items() for what in paths])
def test_servers_and_clients_read_what_they_need(place: Identities, who: str, what: str) -> None:
    getattr(place, who).ask("GET", what).expect_success()


LINKS, ROUTES = ('"podlinks" in API group "statefulroute.io"', '"statefulroutes" in API group "statefulroute.io"')
KINDS, ELSEWHERE = "/apis/statefulroute.io/v1alpha1", "namespaces/kube-system"
NEITHER_MAY = {
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
MAY_NOT = [
    *((who, request, cannot) for who in ("server", "client") for request, cannot in NEITHER_MAY.items()),
    ("server", "GET pods", 'list resource "pods" in API group ""'),
    ("server", "GET pods?watch=true", 'watch resource "pods" in API group ""'),
    ("client", "PATCH pods/game-0", 'patch resource "pods" in API group ""'),
]


@pytest.mark.parametrize(("who", "request_", "cannot"), MAY_NOT, ids=[f"{who} {what}" for who, what, _ in MAY_NOT])
def test_servers_and_clients_may_do_nothing_else(place: Identities, who: str, request_: str, cannot: str) -> None:
    method, what = request_.split()
    body = {} if method in {"POST", "PUT", "PATCH"} else None
    answer = getattr(place, who).ask(method, what, body)
    assert answer.code == 403
    assert f'User "system:serviceaccount:{place.namespace}:{who}" cannot {cannot}' in str(answer.refusal)


# The policies themselves.


@pytest.mark.parametrize("name", ["own-pod.statefulroute.io", "local-namespace.podlinks.statefulroute.io"])
def test_the_api_server_has_nothing_to_say_about_a_policy(installed: Kubectl, cluster: LocalCluster, name: str) -> None:
    if not cluster.has_controllers:
        pytest.skip("nothing checks the types of a policy in this cluster")

    def is_checked() -> bool:
        policy = installed.get_json("validatingadmissionpolicy", name)
        return bool(policy.get("status", {}).get("observedGeneration") == policy["metadata"]["generation"])

    eventually(is_checked, "the types of the policy have been checked")
    assert installed.get_json("validatingadmissionpolicy", name)["status"]["typeChecking"] == {}
