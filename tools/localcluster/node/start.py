"""Starts a control plane and a real node in separate namespaces, under a guardian."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from localcluster import controlplane
from localcluster.certificates import write_private
from localcluster.components import Layout
from localcluster.controlplane import ControlPlane, ReadinessWaiter
from localcluster.guardian_client import GuardianClient
from localcluster.node import cgroups, components, images, machine_exec, prerequisites
from localcluster.node.machine import HOSTNAME, PID_FILE
from localcluster.programs import NodePrograms, Programs

CONTROL_PLANE = ("etcd", "apiserver", "controller-manager", "scheduler")
CLIENTS = {name: controlplane.CLIENTS[name] for name in ("admin", "controller-manager", "scheduler")} | {
    "kubelet": (f"system:node:{HOSTNAME}", "system:nodes"),
    "kube-proxy": ("system:kube-proxy", None),
    "coredns": ("localcluster-coredns", controlplane.ADMINISTRATORS),
}


@dataclass(frozen=True, slots=True)
class NodeClusterSpec:
    """The specification of a cluster with a real node.

    Attributes:
        name: The cluster's name.
        control: The programs of the control plane.
        node: The programs of the node.
        apiserver_flags: Additional flags of the API server.
    """

    name: str
    control: Programs
    node: NodePrograms
    apiserver_flags: Sequence[str]

    def commands(self) -> dict[str, Sequence[str]]:
        """Returns the command of each program, without its flags."""
        control = {part: (str(self.control.controlplane), part) for part in CONTROL_PLANE}
        kubernetes = {part: (str(self.node.node), part) for part in ("kubelet", "kube-proxy")}
        return {**control, **kubernetes, "containerd": ("containerd",), "coredns": (str(self.node.coredns),)}


def start(spec: NodeClusterSpec, layout: Layout, guardian: GuardianClient) -> ControlPlane:
    """Starts everything, and waits until pods can be created.

    Raises:
        LocalClusterError: A part stopped, or something was not ready in time; the message ends with the part's log.
    """
    patience = ReadinessWaiter(guardian)
    group = cgroups.name_for(layout.folder)
    guardian.add_cleanup([sys.executable, "-m", "localcluster.node.cgroups", group])
    cgroups.create(group)
    prefix = _start_machine(layout, guardian, patience)
    commands = {part: (*prefix, *command) for part, command in spec.commands().items()}
    node = components.NodeConfiguration(layout, group, prerequisites.plugins_folder())
    for name, content in node.files().items():
        (layout.folder / name).parent.mkdir(exist_ok=True)
        write_private(layout.folder / name, content.encode())
    flags = node.flags()
    guardian.start("containerd", [*commands["containerd"], *flags.pop("containerd")])
    started = controlplane.start(_control_plane(spec, layout, commands), layout, guardian)
    _load_pause(spec, layout, patience)
    for part, component_flags in flags.items():
        guardian.start(part, [*commands[part], *component_flags])
    patience.wait("the node", lambda: controlplane.are_nodes_ready(started.api, 1))
    return started


def _start_machine(layout: Layout, guardian: GuardianClient, waiter: ReadinessWaiter) -> list[str]:
    """Starts the machine and the relay to its API server; returns the prefix that runs a command there."""
    # The reservations of `ports` do not reach into the machine's network namespace.
    reserved = ",".join(map(str, layout.ports))
    machine = [sys.executable, "-m", "localcluster.node.machine", str(layout.folder), reserved, layout.pod_range]
    guardian.start("machine", machine)
    pid_file = layout.folder / PID_FILE
    waiter.wait("the node's machine", pid_file.exists)
    pid = pid_file.read_text(encoding="ascii")
    guardian.start("relay", [sys.executable, "-m", "localcluster.node.relay", pid, str(layout.apiserver_port)])
    return machine_exec.enter_command(layout.folder)


def _control_plane(
    spec: NodeClusterSpec, layout: Layout, commands: dict[str, tuple[str, ...]]
) -> controlplane.ControlPlaneSpec:
    return controlplane.ControlPlaneSpec(
        spec.name,
        {part: commands[part] for part in CONTROL_PLANE},
        node_count=1,
        apiserver_flags=[*components.apiserver_flags(layout), *spec.apiserver_flags],
        clients=CLIENTS,
    )


def _load_pause(spec: NodeClusterSpec, layout: Layout, waiter: ReadinessWaiter) -> None:
    archive = layout.folder / "pause.tar"
    images.write_pause_archive(spec.node.pause, archive)
    waiter.wait("containerd", lambda: images.is_ready(layout.folder))
    images.load(layout.folder, archive)
