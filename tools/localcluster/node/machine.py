"""The machine: the first process in a node's namespaces, `python -m localcluster.node.machine FOLDER`.

It mounts private folders over those that the node's programs write to, gives the node an address, and then reaps
orphaned processes until it is stopped.
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
    folder = Path(sys.argv[1])
    os.environ["PATH"] = search_path(os.environ)
    kernel.unshare()
    kernel.fork_forwarding_signals()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    pid = Path("/proc/self").readlink().name  # its pid outside of the namespace: /proc is not mounted again yet
    _separate_mounts(folder)
    for command in NETWORK:
        _run(*command.split())
    _run("hostname", HOSTNAME)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")
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
