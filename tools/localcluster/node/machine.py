"""The machine: the first process in a node's namespaces, `python -m localcluster.node.machine FOLDER PORTS POD_RANGE`.

It mounts private folders over those that the node's programs write to, gives the node an address of each family that
its pods have, reserves the ports of the control plane, and then reaps orphaned processes until it is stopped.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from localcluster.node import kernel
from localcluster.node.addresses import IPV4, IPV6, NodeAddress, node_addresses
from localcluster.node.prerequisites import search_path
from localcluster.state import write_atomically

HOSTNAME = "node-0"
INTERFACE = "node0"
#: What containerd, the kubelet and the CNI plugins write to, whatever their configuration says.
PRIVATE_FOLDERS = ("/run", "/var/lib", "/var/log")
FOLDERS = ("/run/containerd", "/run/netns", "/var/lib/kubelet", "/var/lib/containerd", "/var/log/pods")
PID_FILE = "machine.pid"
PAUSE_SECONDS = 1.0
NETWORK_SETTINGS = Path("/proc/sys/net/ipv4")
#: The settings that make the machine forward packets of a family, such as those of its pods.
FORWARDING = {IPV4: NETWORK_SETTINGS / "ip_forward", IPV6: Path("/proc/sys/net/ipv6/conf/all/forwarding")}
#: The ports that no process of this network namespace gets if it requests any free port, as containerd does.
RESERVED_PORTS = "ip_local_reserved_ports"

NETWORK = (
    "ip link set lo up",
    f"ip link add {INTERFACE} type veth peer name {INTERFACE}-end",
    f"ip link set {INTERFACE}-end up",
    f"ip link set {INTERFACE} up",
)


def main() -> None:
    """Runs the machine."""
    folder, ports, addresses = Path(sys.argv[1]), sys.argv[2], node_addresses(sys.argv[3])
    os.environ["PATH"] = search_path(os.environ)
    kernel.unshare()
    kernel.fork_forwarding_signals()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    pid = Path("/proc/self").readlink().name  # its pid outside of the namespace: /proc is not mounted again yet
    _separate_mounts(folder)
    for command in NETWORK:
        _run(*command.split())
    for address in addresses:
        _add(address)
    _run("hostname", HOSTNAME)
    (NETWORK_SETTINGS / RESERVED_PORTS).write_text(ports, encoding="ascii")
    write_atomically(folder / PID_FILE, pid)
    _reap()


def _add(node: NodeAddress) -> None:
    # No other host could have the address: without `nodad`, the kernel looks for one for a second (IPv6).
    _run("ip", node.family, "address", "add", f"{node.address}/{node.prefix}", "dev", INTERFACE, "nodad")
    _run("ip", node.family, "route", "add", "default", "via", node.gateway, "dev", INTERFACE)
    FORWARDING[node].write_text("1", encoding="ascii")


def _separate_mounts(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    _run("mount", "--make-rprivate", "/")
    for private_folder in PRIVATE_FOLDERS:
        _run("mount", "--types", "tmpfs", "--options", "mode=755", "localcluster", private_folder)
    if not folder.is_dir():  # it is below one of the private folders
        folder.mkdir(parents=True)
        _run(
            "mount",
            "--no-canonicalize",
            "--bind",
            f"/proc/self/fd/{descriptor}",
            str(folder),
            descriptors=(descriptor,),
        )
    for subfolder in FOLDERS:
        Path(subfolder).mkdir(parents=True, exist_ok=True)
    _run("mount", "--types", "proc", "proc", "/proc")
    _run("mount", "--make-rshared", "/")  # the kubelet's mounts must propagate to containers, but not outside


def _run(*command: str, descriptors: tuple[int, ...] = ()) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, pass_fds=descriptors)


def _reap() -> None:
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
