"""Tests that the API server's priority and fairness handles the operator's requests as the chart's FlowSchemas say."""

import base64
import ssl
from collections.abc import Iterator, Mapping
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml

from chart.kinds import documents
from chart.releases import Helm
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.waiting import eventually

RELEASE = "flows"
LEASE, OTHERS = f"{RELEASE}-statefulroute-operator-lease", f"{RELEASE}-statefulroute-operator"
LINKS = "/apis/statefulroute.io/v1alpha1/namespaces/{}/podlinks/game.alice"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/{}"


class Account:
    """The operator's ServiceAccount, whose requests are answered with the FlowSchema and the priority level.

    Args:
        admin: a kubectl in the namespace of the release.
    """

    def __init__(self, admin: Kubectl) -> None:
        self._admin = admin
        self._token = admin.run("create", "token", OTHERS).expect_success().stdout.strip()
        config = admin.run("config", "view", "--raw", "--minify", "--flatten", "--output=json").object
        cluster = config["clusters"][0]["cluster"]
        self._server = cluster["server"]
        self._tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())

    def names(self, method: str, path: str) -> tuple[str, str]:
        """Returns the names of the FlowSchema and the priority level that handled a request."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/merge-patch+json"}
        request = Request(self._server + path, b"{}" if method == "PATCH" else None, headers, method=method)  # noqa: S310
        try:
            with urlopen(request, context=self._tls) as response:  # noqa: S310 - the local API server
                answered: Mapping[str, str] = response.headers
        except HTTPError as error:  # an object that does not exist
            answered = error.headers
        return (
            self._name("flowschema", answered["X-Kubernetes-PF-FlowSchema-UID"]),
            self._name("prioritylevelconfiguration", answered["X-Kubernetes-PF-PriorityLevel-UID"]),
        )

    def _name(self, kind: str, uid: str) -> str:
        items = self._admin.run("get", kind, "--output=json").expect_success().object["items"]
        return next(item["metadata"]["name"] for item in items if item["metadata"]["uid"] == uid)


@pytest.fixture(scope="module")
def namespace(admin: Kubectl) -> Iterator[str]:
    """The namespace of a release, with its account, its roles and its FlowSchemas only."""
    with fresh_namespace(admin) as name:
        yield name


@pytest.fixture(scope="module")
def account(admin: Kubectl, helm4: Helm, namespace: str) -> Iterator[Account]:
    """The operator's account of the release."""
    text = helm4.render({}, f"--namespace={namespace}", release=RELEASE).expect_success().stdout
    wanted = {"ServiceAccount", "FlowSchema", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
    items = [item for item in documents(text) if item["kind"] in wanted]
    here = admin.within(namespace)
    here.run("apply", "--filename=-", stdin=yaml.safe_dump_all(items)).expect_success()
    yield Account(here)
    here.run("delete", "--filename=-", stdin=yaml.safe_dump_all(items)).expect_success()


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_requests_for_the_lease_have_the_priority_of_leader_election(
    account: Account, namespace: str, method: str
) -> None:
    path = LEASES.format(namespace, OTHERS)
    eventually(lambda: account.names(method, path) == (LEASE, "leader-election"), "the FlowSchema is in use")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", LINKS.format("play")),
        ("PATCH", LINKS.format("play") + "/status"),
        ("GET", "/api/v1/pods?limit=1"),
        ("GET", "/apis/apps/v1"),
        ("GET", LEASES.format("kube-system", "other")),
    ],
)
def test_all_other_requests_have_a_lower_priority(account: Account, method: str, path: str) -> None:
    eventually(lambda: account.names(method, path) == (OTHERS, "workload-low"), "the FlowSchema is in use")
