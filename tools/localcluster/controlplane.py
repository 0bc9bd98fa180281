"""Starts the parts of a control plane under a guardian and waits until it is ready."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from localcluster import components, nodes, ports
from localcluster.api import ApiClient
from localcluster.certificates import Authority, signing_pair, write_private
from localcluster.components import Layout
from localcluster.errors import LocalClusterError
from localcluster.guardian_client import GuardianClient
from localcluster.kubeconfigs import write
from localcluster.paths import sources_folder
from localcluster.processes import wait_until

READY_SECONDS = 90.0
ADMINISTRATORS = "system:masters"
# The user and group of each client, by the name of its kubeconfig.
CLIENTS = {
    "admin": ("localcluster-admin", ADMINISTRATORS),
    "controller-manager": ("system:kube-controller-manager", None),
    "scheduler": ("system:kube-scheduler", None),
    "kwok": ("localcluster-kwok", ADMINISTRATORS),
}
PARTS_FOR_PODS = ("controller-manager", "scheduler", "kwok")


@dataclass(frozen=True, slots=True)
class ControlPlaneSpec:
    """The specification of a control plane.

    Attributes:
        name: The cluster's name.
        programs: The command of each part; parts without a command are not started.
        node_count: The number of nodes.
        apiserver_flags: Additional flags of the API server.
        clients: The user and group of each client, by the name of its kubeconfig.
    """

    name: str
    programs: Mapping[str, Sequence[str]]
    node_count: int
    apiserver_flags: Sequence[str]
    clients: Mapping[str, tuple[str, str | None]] = field(default_factory=lambda: CLIENTS)

    @property
    def can_run_pods(self) -> bool:
        """Whether all parts that pods need are included."""
        return all(part in self.programs for part in PARTS_FOR_PODS)


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A control plane that is ready.

    Attributes:
        server: The API server's URL.
        kubeconfig: The administrator's kubeconfig.
        version: The API server's version.
        api: A client of the API server, as the administrator.
    """

    server: str
    kubeconfig: Path
    version: str
    api: ApiClient


def create_layout(folder: Path, guardian: GuardianClient, pod_range: str) -> Layout:
    """Reserves the ports of a control plane with its files in `folder`."""
    with ExitStack() as reservations:
        reserved = [reservations.enter_context(ports.reserve()) for _ in range(3)]
        guardian.keep_open(reserved)
        etcd, peer, server = map(ports.number, reserved)
    return Layout(folder, etcd, peer, server, pod_range)


def start(spec: ControlPlaneSpec, layout: Layout, guardian: GuardianClient) -> ControlPlane:
    """Starts a control plane and waits until pods can be created in it.

    Raises:
        LocalClusterError: A part stopped, or something was not ready in time; the message ends with the part's log.
    """
    guardian.start("etcd", [*spec.programs["etcd"], *components.etcd(layout)])
    _issue_certificates(layout, spec)
    apiserver = components.apiserver(
        layout, service_accounts="controller-manager" in spec.programs, extra=spec.apiserver_flags
    )
    guardian.start("apiserver", [*spec.programs["apiserver"], *apiserver])
    api = ApiClient(layout.apiserver_port, layout.folder)
    clients = {
        "controller-manager": components.controller_manager(layout),
        "scheduler": components.scheduler(layout),
        "kwok": components.kwok(layout, sources_folder() / "kwok" / "stages.yaml"),
    }
    patience = ReadinessWaiter(guardian)
    patience.wait("the API server", lambda: api.get("/readyz").is_success)
    for part, flags in clients.items():
        if part in spec.programs:
            guardian.start(part, [*spec.programs[part], *flags])
    _create_nodes(api, spec)
    _wait_until_pods_can_run(api, spec, patience)
    version = api.get("/version").body["gitVersion"]
    return ControlPlane(layout.server, layout.folder / "admin.kubeconfig", version, api)


class ReadinessWaiter:
    """Waits for a starting cluster as long as all of its parts run."""

    def __init__(self, guardian: GuardianClient) -> None:
        self._guardian = guardian
        self._deadline = time.monotonic() + READY_SECONDS

    def wait(self, what: str, condition: Callable[[], bool]) -> None:
        """Waits until a condition holds.

        Raises:
            LocalClusterError: A part stopped, or it took too long.
        """

        def is_finished() -> bool:
            return condition() or self._ended_part() is not None

        is_ready = wait_until(is_finished, self._deadline - time.monotonic())
        ended = self._ended_part()
        if ended is not None:
            raise LocalClusterError(
                f"The cluster cannot start, because its {ended} ended:\n{self._guardian.log_tail(ended)}"
            )
        if not is_ready:
            raise LocalClusterError(
                f"The cluster cannot start: {what} was not ready after {READY_SECONDS:.0f} s.\n"
                f"{self._guardian.log_tail('apiserver')}"
            )

    def _ended_part(self) -> str | None:
        states = self._guardian.parts()
        return next((name for name, state in states.items() if state.ended is not None), None)


def _issue_certificates(layout: Layout, spec: ControlPlaneSpec) -> None:
    authority = Authority()
    server = authority.server((ports.LOOPBACK, layout.service_address))
    signing_key, verifying_key = signing_pair()
    admin = authority.client(*spec.clients["admin"])
    files = {
        "ca.crt": authority.certificate,
        "apiserver.crt": server.certificate,
        "apiserver.key": server.key,
        "service-account.key": signing_key,
        "service-account.pub": verifying_key,
        "admin.crt": admin.certificate,
        "admin.key": admin.key,
    }
    for file, content in files.items():
        write_private(layout.folder / file, content)
    for client, (user, group) in spec.clients.items():
        pair = admin if client == "admin" else authority.client(user, group)
        path = layout.folder / f"{client}.kubeconfig"
        write(path, f"localcluster-{spec.name}", layout.server, authority.certificate, pair)


def _create_nodes(api: ApiClient, spec: ControlPlaneSpec) -> None:
    for number in range(spec.node_count if "kwok" in spec.programs else 0):
        response = api.create("/api/v1/nodes", nodes.manifest(number))
        if not response.is_success:
            raise LocalClusterError(f"The API server refused a node: {json.dumps(response.body)}")


def _wait_until_pods_can_run(api: ApiClient, spec: ControlPlaneSpec, waiter: ReadinessWaiter) -> None:
    waiter.wait("the default namespace", lambda: api.get("/api/v1/namespaces/default").is_success)
    if "controller-manager" in spec.programs:
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        waiter.wait("the default service account", lambda: api.get(account).is_success)

    if spec.can_run_pods:
        waiter.wait("every node", lambda: are_nodes_ready(api, spec.node_count))


def are_nodes_ready(api: ApiClient, count: int) -> bool:
    """Returns whether there are `count` nodes, and pods can be scheduled to each."""
    response = api.get("/api/v1/nodes")
    return (
        response.is_success
        and len(response.body["items"]) == count
        and all(map(nodes.is_ready, response.body["items"]))
    )
