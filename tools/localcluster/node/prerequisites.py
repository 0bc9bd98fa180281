"""Checks what a machine needs for a real node; each missing thing is one sentence."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from localcluster.components import POD_RANGE
from localcluster.node.addresses import IPV6, node_addresses

#: The Debian packages that `make node-packages` installs.
DEBIAN_PACKAGES = (
    "buildah",
    "containerd",
    "containernetworking-plugins",
    "debian-archive-keyring",
    "iproute2",
    "mmdebstrap",
    "nftables",
    "runc",
)
PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "ip": "iproute2",
    "mount": "mount",
}
PLUGIN_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
PLUGINS = ("bridge", "host-local", "loopback")
CONTROL_GROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "pids", "freezer", "blkio", "devices")
SYSTEM_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin")

#: Commands that are tried in order in new namespaces.
KERNEL_PROBES = (
    ("ip link add probe type veth peer name probe-end", "pairs of virtual interfaces (veth)"),
    ("ip link add probe-bridge type bridge", "bridges"),
    ("nft add table ip probe", "nftables"),
    (
        "nft add chain ip probe nat { type nat hook prerouting priority 0 ; }",
        "address translation by nftables (nft_nat)",
    ),
    ("mount -t tmpfs tmpfs /mnt", "mounts in a separate namespace"),
    ("mkdir /mnt/a /mnt/b /mnt/c", "writing to such a mount"),
    ("mount -t overlay -o lowerdir=/mnt/a,upperdir=/mnt/b,workdir=/mnt/c overlay /mnt/a", "overlay file systems"),
)
#: Those that a node with IPv6 needs, too.
IPV6_PROBES = (
    ("ip -6 address add fd00:10:88::1/64 dev lo", "addresses of IPv6"),
    ("nft add table ip6 probe", "nftables for IPv6"),
    (
        "nft add chain ip6 probe nat { type nat hook prerouting priority 0 ; }",
        "address translation by nftables for IPv6 (nft_nat)",
    ),
)
PROBE = """
import subprocess, sys
from localcluster.node import kernel
kernel.unshare()
kernel.fork_forwarding_signals()
subprocess.run(["mount", "--make-rprivate", "/"], check=False)
for command, what in zip(sys.argv[1::2], sys.argv[2::2]):
    if subprocess.run(command.split(), capture_output=True).returncode:
        print(what)
"""


def search_path(environment: Mapping[str, str]) -> str:
    """Returns PATH with the folders of system programs, which a user's PATH may lack."""
    return os.pathsep.join((environment.get("PATH", os.defpath), *SYSTEM_PATH))


def plugins_folder() -> Path:
    """Returns the folder of the CNI plugins; the first candidate if none contains them."""
    return next(filter(_has_plugins, PLUGIN_FOLDERS), PLUGIN_FOLDERS[0])


def missing_prerequisites(pod_range: str = POD_RANGE) -> list[str]:
    """Returns what prevents a real node on this machine, as sentences.

    Args:
        pod_range: The addresses of its pods.
    """
    if sys.platform != "linux":
        return ["A real node needs Linux: use the provider 'kind' elsewhere."]
    if os.geteuid() != 0:
        return ["A real node needs root: try again with sudo."]
    return [*_missing_programs(), *_missing_control_groups()] or list(_missing_kernel_features(pod_range))


def _has_plugins(folder: Path) -> bool:
    return all((folder / name).is_file() for name in PLUGINS)


def _missing_programs() -> Iterator[str]:
    path = search_path(os.environ)
    for program, package in PROGRAMS.items():
        if shutil.which(program, path=path) is None:
            yield f"There is no {program} on PATH: install it; Debian has it in the package {package}."
    if not _has_plugins(plugins_folder()):
        folders = " nor in ".join(map(str, PLUGIN_FOLDERS))
        yield (
            f"CNI's plugins {', '.join(PLUGINS)} are neither in {folders}: install them; Debian's package is "
            "containernetworking-plugins."
        )


def _missing_control_groups() -> Iterator[str]:
    missing = [name for name in CONTROLLERS if not (CONTROL_GROUPS / name / "tasks").exists()]
    if missing:
        yield (
            f"Control groups of version 1 are needed, and {CONTROL_GROUPS} has none for {', '.join(missing)}: "
            "on a machine with only version 2, use the provider 'kind'."
        )


def _missing_kernel_features(pod_range: str) -> Iterator[str]:
    package = Path(__file__).parents[2]
    probes = KERNEL_PROBES + (IPV6_PROBES if IPV6 in node_addresses(pod_range) else ())
    completed = subprocess.run(
        [sys.executable, "-c", PROBE, *(word for pair in probes for word in pair)],
        env={**os.environ, "PATH": search_path(os.environ), "PYTHONPATH": str(package)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode:
        last = (completed.stderr.strip().splitlines() or ["without a message"])[-1]
        yield f"Namespaces cannot be created here ({last}): run it outside of a container, or privileged."
    for feature in completed.stdout.splitlines():
        yield f"The kernel does not allow {feature}: run it outside of a container, or load the module."
