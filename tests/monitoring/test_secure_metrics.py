"""A real API server decides who reads the metrics of an operator, of a standby and of a resolver over TLS."""

import http.client
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from localcluster import LocalCluster
from localcluster.certificates import Authority
from support.api_user import APIUser
from support.kubectl import Kubectl
from support.metrics import ANY_PORT, TIMEOUT_SECONDS, http_get
from support.namespaces import fresh_namespace
from support.operator_process import OperatorProcess, OperatorSlot
from support.rbac import apply_lease_role, cluster_role, create_account
from support.resolver_process import ResolverProcess
from support.waiting import eventually

PROBES, METRICS = "serving probes and metrics", "serving metrics over TLS"


class Response(NamedTuple):
    """A response."""

    code: int
    text: str
    headers: Mapping[str, str]


class Accounts(NamedTuple):
    """ServiceAccounts of one namespace: of the programs, of a Prometheus, and of a program without the right.

    Attributes:
        namespace: their namespace.
        administrator: creates their tokens.
        kubeconfig: that of the programs.
    """

    namespace: str
    administrator: APIUser
    kubeconfig: Path

    def token(self, account: str, audience: str | None = None) -> str:
        return self.administrator.create_token(account, audience=audience)

    def user(self, account: str) -> str:
        return f"system:serviceaccount:{self.namespace}:{account}"


@pytest.fixture(scope="module")
def accounts(cluster: LocalCluster, installed: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accounts]:
    if installed.run("get", "--raw", "/apis/rbac.authorization.k8s.io/v1").code:
        pytest.skip("this cluster has no RBAC")
    with fresh_namespace(installed) as namespace, ExitStack() as roles:
        kubectl = installed.within(namespace)
        granted = [
            roles.enter_context(cluster_role(kubectl, file, f"{file}-{namespace}"))
            for file in ("operator", "resolver", "metrics-reviews")
        ]
        reader = roles.enter_context(cluster_role(kubectl, "metrics-reader", f"reader-{namespace}"))
        kubectl.run("create", "serviceaccount", "stranger").expect_success()
        with (
            create_account(kubectl, "program", *granted, cluster_wide=True),
            create_account(kubectl, "prometheus", reader, cluster_wide=True),
        ):
            lease = apply_lease_role(kubectl).partition("/")[2]
            account = f"--serviceaccount={namespace}:program"
            kubectl.run("create", "rolebinding", "lease", f"--role={lease}", account).expect_success()
            administrator = APIUser.of(cluster.kubeconfig, namespace)
            kubeconfig = tmp_path_factory.mktemp("program") / "kubeconfig"
            yield Accounts(namespace, administrator, administrator.as_account("program").write_kubeconfig(kubeconfig))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def options(authority: Authority, tmp_path: Path) -> tuple[str, ...]:
    """Options of metrics over TLS, with authentication, at any port."""
    pair = authority.server(("127.0.0.1",))
    (tmp_path / "tls.crt").write_bytes(pair.certificate)
    (tmp_path / "tls.key").write_bytes(pair.key)
    certificate = f"--metrics-tls-certificate={tmp_path / 'tls.crt'}", f"--metrics-tls-key={tmp_path / 'tls.key'}"
    return "--metrics-address=127.0.0.1:0", *certificate, "--metrics-authentication"


class Metrics:
    """A program that serves metrics over TLS.

    Attributes:
        tls: the settings of the client.

    Args:
        program: its process.
        authority: signed its certificate.
    """

    def __init__(self, program: OperatorProcess, authority: Authority) -> None:
        self._program = program
        self.tls = ssl.create_default_context(cadata=authority.certificate.decode())

    def address(self, event: str) -> str:
        """Returns where it listens, by its log."""
        eventually(lambda: any(line["event"] == event for line in self._program.lines), f"it is {event}")
        return str(next(line["addresses"][0] for line in self._program.lines if line["event"] == event))

    def get(self, token: str | None) -> Response:
        """Reads the metrics with a token."""
        connection = http.client.HTTPSConnection(self.address(METRICS), timeout=TIMEOUT_SECONDS, context=self.tls)
        try:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            connection.request("GET", "/metrics", headers=headers)
            response = connection.getresponse()
            return Response(response.status, response.read().decode(), dict(response.headers))
        finally:
            connection.close()


def assert_only_readers_get(metrics: Metrics, accounts: Accounts) -> None:
    """Asserts who gets the metrics; the probes are open, without metrics."""
    probes = metrics.address(PROBES)
    assert http_get(probes, "/healthz").text == "ok"
    assert http_get(probes, "/metrics").code == 404
    for token in (None, "invented", accounts.token("prometheus", "other-audience")):
        response = metrics.get(token)
        assert (response.code, response.headers["WWW-Authenticate"]) == (401, "Bearer"), token
        assert "statefulroute_" not in response.text
    forbidden = metrics.get(accounts.token("stranger"))
    assert forbidden.code == 403
    assert forbidden.text.startswith(f"{accounts.user('stranger')} may not get /metrics")
    allowed = metrics.get(accounts.token("prometheus"))
    assert (allowed.code, allowed.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "statefulroute_build_info{" in allowed.text
    with pytest.raises((OSError, http.client.HTTPException)):
        http_get(metrics.address(METRICS), "/metrics")


def test_operator_serves_metrics_only_to_users_with_the_right(
    accounts: Accounts, authority: Authority, operator_slot: OperatorSlot, options: tuple[str, ...], installed: Kubectl
) -> None:
    with operator_slot.acquire(accounts.kubeconfig, *ANY_PORT, *options) as process:
        metrics = Metrics(process.start(), authority)
        assert_only_readers_get(metrics, accounts)
        # A right that is granted is used soon, because refusals are cached for seconds only.
        role, account = f"--clusterrole=reader-{accounts.namespace}", f"--serviceaccount={accounts.namespace}:stranger"
        stranger, name = accounts.token("stranger"), f"stranger-{accounts.namespace}"
        assert metrics.get(stranger).code == 403
        installed.run("create", "clusterrolebinding", name, role, account).expect_success()
        eventually(lambda: metrics.get(stranger).code == 200, "the right is used")
        installed.run("delete", "clusterrolebinding", name).expect_success()
        process.stop()
        assert process.errors() == []


@pytest.mark.parametrize(
    "option", ["min-version=VersionTLS13", "cipher-suites=TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"]
)
def test_operator_refuses_other_versions_and_cipher_suites_of_tls_than_its_options(
    accounts: Accounts, authority: Authority, operator_slot: OperatorSlot, options: tuple[str, ...], option: str
) -> None:
    with operator_slot.acquire(accounts.kubeconfig, *ANY_PORT, *options, f"--metrics-tls-{option}") as process:
        metrics = Metrics(process.start(), authority)
        assert metrics.get(None).code == 401
        metrics.tls.maximum_version = ssl.TLSVersion.TLSv1_2
        metrics.tls.set_ciphers("ECDHE+AESGCM")
        with pytest.raises(ssl.SSLError):
            metrics.get(None)
        process.stop()


def test_standby_serves_metrics_although_it_writes_nothing(
    accounts: Accounts, authority: Authority, operator_slot: OperatorSlot, options: tuple[str, ...], installed: Kubectl
) -> None:
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    installed.within(accounts.namespace).create(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "statefulroute-operator"},
            "spec": {"holderIdentity": "other", "leaseDurationSeconds": 3600, "acquireTime": now, "renewTime": now},
        }
    )
    election = ("--leader-elect", f"--lease-namespace={accounts.namespace}")
    with operator_slot.acquire(accounts.kubeconfig, *ANY_PORT, *options, *election) as process:
        metrics = Metrics(process.start(), authority)
        assert_only_readers_get(metrics, accounts)
        assert "statefulroute_leader 0.0" in metrics.get(accounts.token("prometheus")).text
        process.stop()


def test_resolver_serves_metrics_only_to_users_with_the_right(
    accounts: Accounts, authority: Authority, options: tuple[str, ...], tmp_path: Path
) -> None:
    process = ResolverProcess(accounts.kubeconfig, tmp_path / "log", *options).start()
    assert_only_readers_get(Metrics(process, authority), accounts)
    process.stop()
    assert process.errors() == []


def test_certificate_that_is_missing_ends_the_operator_with_one_sentence(
    accounts: Accounts, operator_slot: OperatorSlot, options: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "tls.crt").unlink()
    with operator_slot.acquire(accounts.kubeconfig, *options) as process:
        assert process.launch().wait() == 1
        (line,) = (line for line in process.log_text.splitlines() if line.startswith("statefulroute: "))
        assert f"{tmp_path / 'tls.crt'}, {tmp_path / 'tls.key'} must be files in PEM" in line
