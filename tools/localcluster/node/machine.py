"""The machine: the first process of a node's namespaces, `python -m localcluster.node.machine FOLDER`.

It lays private folders over those that the node's programs write to by their nature, gives the node an address, and
then reaps whatever loses its parent, until it is told to end.
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
GATEWAY = "10.88.0.254"  # nobody: there only has to be a default route
#: What containerd, the kubelet and CNI's plugins write to, wherever their own settings point.
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
    """Be the machine."""
    folder = Path(sys.argv[1])
    os.environ["PATH"] = search_path(os.environ)
    kernel.unshare()
    kernel.fork_forwarding_signals()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    pid = Path("/proc/self").readlink().name  # as those outside know it: /proc is still theirs
    _separate_mounts(folder)
    for command in NETWORK:
        _run(*command.split())
    _run("hostname", HOSTNAME)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")
    write_atomically(folder / PID_FILE, pid)
    _reap()


def _separate_mounts(folder: Path) -> None:
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    _run("mount", "--make-rprivate", "/")
    for place in PRIVATE_FOLDERS:
        _run("mount", "--types", "tmpfs", "--options", "mode=755", "localcluster", place)
    if not folder.is_dir():  # it is below one of them
        folder.mkdir(parents=True)
        _run("mount", "--no-canonicalize", "--bind", f"/proc/self/fd/{held}", str(folder), descriptors=(held,))
    for each in FOLDERS:
        Path(each).mkdir(parents=True, exist_ok=True)
    _run("mount", "--types", "proc", "proc", "/proc")
    _run("mount", "--make-rshared", "/")  # the kubelet's mounts have to reach containers, among these mounts alone


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
