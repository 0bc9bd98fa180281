"""Tests the flags of each part, the ports and the certificates, without starting anything."""

import ipaddress
import json
import socket
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import verification
from cryptography.x509.oid import NameOID

from local.cluster_process import PACKAGE
from localcluster import LocalClusterError, components, kubeconfigs, nodes, ports
from localcluster.certificates import Authority, write_private
from localcluster.components import Layout
from localcluster.controlplane import ControlPlaneSpec
from localcluster.node.addresses import node_addresses

LAYOUT = Layout(Path("/run/x"), 1001, 1002, 1003)
WHOLE = {part: (part,) for part in ("etcd", "apiserver", "controller-manager", "scheduler", "kwok")}


def test_parts_find_each_other_on_loopback() -> None:
    assert LAYOUT.server == "https://127.0.0.1:1003"
    assert "--etcd-servers=http://127.0.0.1:1001" in components.apiserver(LAYOUT)
    assert "--listen-client-urls=http://127.0.0.1:1001" in components.etcd(LAYOUT)


def test_everything_listens_only_on_loopback() -> None:
    flags = [*components.etcd(LAYOUT), *components.apiserver(LAYOUT)]
    listening = [flag for flag in flags if "listen" in flag or "bind-address" in flag]
    assert listening
    assert all("127.0.0.1" in flag for flag in listening)


def test_all_files_of_the_parts_are_in_the_clusters_folder() -> None:
    flags = components.controller_manager(LAYOUT) + components.scheduler(LAYOUT)
    files = [flag.partition("=")[2] for flag in flags if "/" in flag]
    assert files
    assert all(file.startswith("/run/x/") for file in files)


def test_requested_flags_come_last_and_override_others() -> None:
    assert components.apiserver(LAYOUT, extra=["--v=4"])[-1] == "--v=4"


@pytest.mark.parametrize(("served", "expected"), [(True, False), (False, True)])
def test_service_accounts_are_required_only_if_a_controller_creates_them(*, served: bool, expected: bool) -> None:
    flags = components.apiserver(LAYOUT, service_accounts=served)
    assert ("--disable-admission-plugins=ServiceAccount" in flags) is expected


@pytest.mark.parametrize("missing", ["controller-manager", "scheduler", "kwok"])
def test_pods_run_only_with_all_parts(missing: str) -> None:
    programs = {part: command for part, command in WHOLE.items() if part != missing}
    assert not ControlPlaneSpec("x", programs, 1, (), components.POD_RANGE).can_run_pods
    assert ControlPlaneSpec("x", WHOLE, 1, (), components.POD_RANGE).can_run_pods


def test_kwok_gets_the_stages_and_the_pod_range() -> None:
    stages = PACKAGE / "kwok" / "stages.yaml"
    flags = components.kwok(Layout(Path("/run/x"), 1, 2, 3, "127.50.0.0/16"), stages)
    assert f"--config={stages}" in flags
    assert "--cidr=127.50.0.0/16" in flags


@pytest.mark.parametrize(
    ("pod_range", "service", "node"),
    [
        (components.POD_RANGE, "10.96.0.1", ["10.88.0.1"]),
        (components.DUAL_STACK_POD_RANGE, "10.96.0.1", ["10.88.0.1", "fd00:10:88::1"]),
        (components.IPV6_POD_RANGE, "fd00:10:96::1", ["fd00:10:88::1"]),
    ],
)
def test_services_and_a_real_node_have_the_families_of_the_pods(pod_range: str, service: str, node: list[str]) -> None:
    assert Layout(Path("/run/x"), 1, 2, 3, pod_range).service_address == service
    assert [each.address for each in node_addresses(pod_range)] == node


def test_reserved_port_can_be_shared_only_by_a_part() -> None:
    with ports.reserve() as reservation, socket.socket() as stranger, socket.socket() as part:
        address = (ports.LOOPBACK, ports.number(reservation))
        with pytest.raises(OSError, match="in use"):
            stranger.bind(address)
        part.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        part.bind(address)
        part.listen()
        socket.create_connection(address).close()


def test_free_port_is_none_that_the_system_gives_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind((ports.LOOPBACK, 0))
        assert ports.free_port() < ports.number(other)
    with socket.socket() as used:
        used.bind(("127.0.0.2", port := ports.free_port()))
        monkeypatch.setattr(ports, "_CHOSEN_PORTS", range(port, port + 1))
        with pytest.raises(OSError, match=f"100 ports from {port} to {port} are in use"):
            ports.free_port()


def test_reserved_ports_are_all_different() -> None:
    reservations = [ports.reserve() for _ in range(200)]
    assert len({ports.number(each) for each in reservations}) == 200
    for each in reservations:
        each.close()


@pytest.mark.parametrize(
    ("status", "taints", "ready"),
    [("True", None, True), ("False", None, False), ("True", [{"key": "node.kubernetes.io/not-ready"}], False)],
)
def test_node_is_ready_when_pods_can_be_scheduled(status: str, taints: list[object], *, ready: bool) -> None:
    node = {"spec": {"taints": taints}, "status": {"conditions": [{"type": "Ready", "status": status}]}}
    assert nodes.is_ready(node) is ready


def test_new_node_follows_kwoks_conventions() -> None:
    node = nodes.manifest(7)
    assert node["metadata"]["name"] == "node-7"
    assert node["metadata"]["annotations"]["kwok.x-k8s.io/node"] == "fake"
    assert not nodes.is_ready(node)


def test_client_certificate_contains_user_group_and_issuer() -> None:
    authority = Authority()
    issued = x509.load_pem_x509_certificate(authority.client("somebody", "some:group").certificate)
    issued.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    assert issued.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "somebody"
    assert issued.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "some:group"


def test_server_certificate_passes_strict_verification() -> None:
    authority = Authority()
    server = authority.server((ports.LOOPBACK,))
    trusted = [x509.load_pem_x509_certificate(authority.certificate)]
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store(trusted))
        .build_server_verifier(x509.IPAddress(ipaddress.ip_address(ports.LOOPBACK)))
    )
    issued = x509.load_pem_x509_certificate(server.certificate)
    assert verifier.verify(issued, [])[-1] == trusted[0]


def test_private_file_is_readable_only_by_its_owner(tmp_path: Path) -> None:
    write_private(tmp_path / "key", b"secret")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_reads_the_server_of_a_kubeconfig(tmp_path: Path) -> None:
    authority = Authority()
    path = tmp_path / "admin.kubeconfig"
    kubeconfigs.write(path, "x", "https://127.0.0.1:1", authority.certificate, authority.client("admin"))
    assert kubeconfigs.server_of(path) == "https://127.0.0.1:1"


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"current-context": "a", "contexts": []}', json.dumps({"contexts": [], "clusters": []})]
)
def test_error_for_a_kubeconfig_without_current_context_tells_how_to_choose_one(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(LocalClusterError, match="config use-context NAME"):
        kubeconfigs.server_of(path)
