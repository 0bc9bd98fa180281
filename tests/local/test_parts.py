"""The flags of each part, the ports they get, and the certificates that they trust: nothing is started here."""

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

LAYOUT = Layout(Path("/run/x"), 1001, 1002, 1003)
WHOLE = {part: (part,) for part in ("etcd", "apiserver", "controller-manager", "scheduler", "kwok")}


def test_the_parts_find_each_other_on_loopback() -> None:
    assert LAYOUT.server == "https://127.0.0.1:1003"
    assert "--etcd-servers=http://127.0.0.1:1001" in components.apiserver(LAYOUT)
    assert "--listen-client-urls=http://127.0.0.1:1001" in components.etcd(LAYOUT)


def test_everything_listens_on_loopback_alone() -> None:
    flags = [*components.etcd(LAYOUT), *components.apiserver(LAYOUT)]
    listening = [flag for flag in flags if "listen" in flag or "bind-address" in flag]
    assert listening
    assert all("127.0.0.1" in flag for flag in listening)


def test_all_files_of_the_parts_lie_in_the_clusters_folder() -> None:
    flags = components.controller_manager(LAYOUT) + components.scheduler(LAYOUT)
    files = [flag.partition("=")[2] for flag in flags if "/" in flag]
    assert files
    assert all(file.startswith("/run/x/") for file in files)


def test_flags_that_were_asked_for_come_last_and_so_win() -> None:
    assert components.apiserver(LAYOUT, extra=["--v=4"])[-1] == "--v=4"


@pytest.mark.parametrize(("served", "expected"), [(True, False), (False, True)])
def test_service_accounts_are_demanded_only_where_something_makes_them(*, served: bool, expected: bool) -> None:
    flags = components.apiserver(LAYOUT, service_accounts=served)
    assert ("--disable-admission-plugins=ServiceAccount" in flags) is expected


@pytest.mark.parametrize("missing", ["controller-manager", "scheduler", "kwok"])
def test_pods_run_only_when_no_part_is_missing(missing: str) -> None:
    programs = {part: command for part, command in WHOLE.items() if part != missing}
    assert not ControlPlaneSpec("x", programs, 1, (), components.POD_RANGE).can_run_pods
    assert ControlPlaneSpec("x", WHOLE, 1, (), components.POD_RANGE).can_run_pods


def test_kwok_gets_the_stages_and_the_range_of_the_pods() -> None:
    stages = PACKAGE / "kwok" / "stages.yaml"
    flags = components.kwok(Layout(Path("/run/x"), 1, 2, 3, "127.50.0.0/16"), stages)
    assert f"--config={stages}" in flags
    assert "--cidr=127.50.0.0/16" in flags


def test_a_reserved_port_is_nobody_elses_but_a_part_can_share_it() -> None:
    with ports.reserve() as reservation, socket.socket() as stranger, socket.socket() as part:
        address = (ports.LOOPBACK, ports.number(reservation))
        with pytest.raises(OSError, match="in use"):
            stranger.bind(address)
        part.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        part.bind(address)
        part.listen()
        socket.create_connection(address).close()


def test_reserved_ports_are_all_different() -> None:
    reservations = [ports.reserve() for _ in range(200)]
    assert len({ports.number(each) for each in reservations}) == 200
    for each in reservations:
        each.close()


@pytest.mark.parametrize(
    ("status", "taints", "ready"),
    [("True", None, True), ("False", None, False), ("True", [{"key": "node.kubernetes.io/not-ready"}], False)],
)
def test_a_node_is_ready_once_pods_can_be_scheduled_there(status: str, taints: list[object], *, ready: bool) -> None:
    node = {"spec": {"taints": taints}, "status": {"conditions": [{"type": "Ready", "status": status}]}}
    assert nodes.is_ready(node) is ready


def test_a_new_node_follows_kwoks_conventions() -> None:
    node = nodes.manifest(7)
    assert node["metadata"]["name"] == "node-7"
    assert node["metadata"]["annotations"]["kwok.x-k8s.io/node"] == "fake"
    assert not nodes.is_ready(node)


def test_a_clients_certificate_names_its_user_and_group_and_its_authority() -> None:
    authority = Authority()
    issued = x509.load_pem_x509_certificate(authority.client("somebody", "some:group").certificate)
    issued.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    assert issued.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "somebody"
    assert issued.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "some:group"


def test_the_servers_certificate_passes_the_strictest_check() -> None:
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


def test_a_private_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    write_private(tmp_path / "key", b"secret")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_kubeconfig_tells_its_server(tmp_path: Path) -> None:
    authority = Authority()
    path = tmp_path / "admin.kubeconfig"
    kubeconfigs.write(path, "x", "https://127.0.0.1:1", authority.certificate, authority.client("admin"))
    assert kubeconfigs.server_of(path) == "https://127.0.0.1:1"


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"current-context": "a", "contexts": []}', json.dumps({"contexts": [], "clusters": []})]
)
def test_a_kubeconfig_without_a_current_context_is_told_with_the_way_out(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(LocalClusterError, match="config use-context NAME"):
        kubeconfigs.server_of(path)
