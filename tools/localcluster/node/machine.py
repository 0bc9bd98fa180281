"""The machine: the first process in a node's namespaces, `python -m localcluster.node.machine FOLDER PORTS`.

It mounts private folders over those that the node's programs write to, gives the node an address, reserves the ports
of the control plane, and then reaps orphaned processes until it is stopped.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from localcluster.node import kernel
from localcluster.node.prerequisites import search_path
from localcluster.state import write_atomically

HOSTNAME = "node-0"
ADDRESS = "10.88.0.1"
INTERFACE = "node0"
GATEWAY = "10.88.0.254"  # no host: only a default route is needed
#: What containerd, the kubelet and the CNI plugins write to, whatever their configuration says.
PRIVATE_FOLDERS = ("/run", "/var/lib", "/var/log")
FOLDERS = ("/run/containerd", "/run/netns", "/var/lib/kubelet", "/var/lib/containerd", "/var/log/pods")
PID_FILE = "machine.pid"
PAUSE_SECONDS = 1.0
NETWORK_SETTINGS = Path("/proc/sys/net/ipv4")
#: The ports that no process of this network namespace gets if it requests any free port, as containerd does.
RESERVED_PORTS = "ip_local_reserved_ports"

NETWORK = (
    "ip link set lo up",
    f"ip link add {INTERFACE} type veth peer name {INTERFACE}-end",
    f"ip link set {INTERFACE}-end up",
    f"ip address add {ADDRESS}/24 dev {INTERFACE}",
    f"ip link set {INTERFACE} up",
    f"ip route add default via {GATEWAY} dev {INTERFACE}",
)


def main() -> None:
    """Runs the machine."""
    folder, ports = Path(sys.argv[1]), sys.argv[2]
    os.environ["PATH"] = search_path(os.environ)
    kernel.unshare()
    kernel.fork_forwarding_signals()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    pid = Path("/proc/self").readlink().name  # its pid outside of the namespace: /proc is not mounted again yet
    _separate_mounts(folder)
    for command in NETWORK:
        _run(*command.split())
    _run("hostname", HOSTNAME)
    for setting, value in {"ip_forward": "1", RESERVED_PORTS: ports}.items():
        (NETWORK_SETTINGS / setting).write_text(value, encoding="ascii")
    write_atomically(folder / PID_FILE, pid)
    _reap()


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
