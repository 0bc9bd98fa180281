"""A host in the network of the node, without a route to any other: from there, an administrator installs the chart."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster import LocalCluster
from localcluster.node import machine_exec
from localcluster.node.machine import PID_FILE
from localcluster.node.prerequisites import search_path
from node.images import ROOT, VERSION
from support.kubectl import Result
from support.waiting import eventually

PAGE = ROOT / "docs/guides/air-gap.md"
NAMESPACE = "statefulroute-system"

#: The registry of the bastion, in place of the page's. containerd and crane expect plain HTTP of loopback addresses.
REGISTRY = "127.0.0.1:5000"

#: Counts the packets to addresses outside of the cluster.
COUNT_OUTSIDE = """
table inet outside {
  counter outside_packets { }
  chain output { type filter hook output priority 0; jump count_outside; }
  chain forward { type filter hook forward priority 0; jump count_outside; }
  chain count_outside {
    ip daddr != { 10.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4 } counter name outside_packets
    ip6 daddr != { ::1, fd00::/8, fe80::/10, ff00::/8 } counter name outside_packets
  }
}
"""
#: Addresses that no host has: they are reserved for documents.
OUTSIDE = ("192.0.2.1", "2001:db8::1")

#: Prints the bodies of URLs as a list.
FETCH = """
import json, sys, urllib.request
print(json.dumps([urllib.request.urlopen(url, timeout=10).read().decode() for url in sys.argv[1:]]))
"""

#: Waits until gRPC servers have answered.
CONNECT = """
import sys, grpc
for address in sys.argv[1:]:
    grpc.channel_ready_future(grpc.insecure_channel(address)).result(timeout=10)
"""


@dataclass(frozen=True)
class Instructions:
    """The commands of the page.

    Attributes:
        on_a_machine_with_access: They make what is carried over.
        with_a_registry: They mirror image and chart into a registry, and install from it.
        without_a_registry: They load the image into each node, and install from the archive of the chart.
    """

    on_a_machine_with_access: Sequence[str]
    with_a_registry: Sequence[str]
    without_a_registry: Sequence[str]

    @classmethod
    def read(cls) -> "Instructions":
        """Reads the page; its version and registry are replaced by those of the test."""
        text = re.sub(r"\d+\.\d+\.\d+", VERSION, PAGE.read_text(encoding="utf-8"))
        text = text.replace("registry.example", REGISTRY).replace(" oci://", " --plain-http oci://")
        blocks = re.findall(r"(?:^    .+\n)+", text.replace("\\\n", " "), re.MULTILINE)
        return cls(*([line.strip() for line in block.splitlines()] for block in blocks))


def carry(folder: Path) -> None:
    """Makes the image and the charts as the page describes, in the subfolder `dist`."""
    # Of another make, whose tests these are: it would lend this one its job server.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    for command in Instructions.read().on_a_machine_with_access:
        words = shlex.split(command, comments=True)
        if words[:2] in (["make", "image"], ["make", "chart"]):
            placed = [word.replace("=dist", f"={folder}/dist") for word in words]
            made = subprocess.run(
                [*placed, "DEBIAN_BASE=1"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
            )
            assert made.returncode == 0, made.stdout + made.stderr


class Bastion:
    """A host in the network of the node.

    Args:
        cluster: The cluster.
        carried: The folder with what was carried there.
        programs: The programs of the bastion by their names.
        folder: An empty folder.
    """

    def __init__(self, cluster: LocalCluster, carried: Path, programs: dict[str, Path], folder: Path) -> None:
        self._cluster, self._carried = cluster, carried
        self._network = Path("/proc", (cluster.folder / PID_FILE).read_text(encoding="ascii"), "ns/net")
        commands = folder / "bin"
        commands.mkdir()
        for name, program in programs.items():
            (commands / name).symlink_to(program)
        ctr = shutil.which("ctr", path=search_path(os.environ))
        # A command that enters the machine starts in the root folder.
        on_node = shlex.join([*machine_exec.enter_command(cluster.folder), "env", f"--chdir={carried}", str(ctr)])
        (commands / "ctr").write_text(f'#!/bin/sh\nexec {on_node} "$@"\n', encoding="ascii")
        (commands / "ctr").chmod(0o755)
        homes = {f"HELM_{what}_HOME": str(folder / what.lower()) for what in ("CACHE", "CONFIG", "DATA")}
        path = os.pathsep.join((str(commands), os.environ["PATH"]))
        self._environment = {**os.environ, **homes, "PATH": path, "KUBECONFIG": str(cluster.kubeconfig)}

    def run(self, command: str) -> Result:
        """Runs a command of the shell, with any exit code."""
        completed = subprocess.run(
            self._inside("bash", "-c", command),
            cwd=self._carried,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Result((command,), completed.returncode, completed.stdout, completed.stderr)

    def follow(self, commands: Sequence[str], *values: str) -> None:
        """Runs commands of the page; `helm install` gets these values."""
        for command in commands:
            options = "".join(f" --set {each}" for each in values) if command.startswith("helm install") else ""
            self.run(f"{command.partition('#')[0]}{options}").expect_success()

    def fetch(self, *urls: str) -> list[str]:
        """Returns the bodies of HTTP responses.

        Raises:
            KubectlError: One is an error, or none.
        """
        fetched = self.run(shlex.join([sys.executable, "-c", FETCH, *urls])).expect_success()
        return list(json.loads(fetched.stdout))

    def connect(self, *addresses: str) -> None:
        """Connects to gRPC servers.

        Raises:
            KubectlError: One does not answer.
        """
        self.run(shlex.join([sys.executable, "-c", CONNECT, *addresses])).expect_success()

    @contextmanager
    def registry(self) -> Iterator[None]:
        """Runs a registry."""
        command = self._inside("crane", "registry", "serve", "--address", REGISTRY)
        with subprocess.Popen(command, env=self._environment, stderr=subprocess.DEVNULL) as process:
            try:
                eventually(lambda: self.run(f"crane catalog {REGISTRY}").code == 0, "the registry answers")
                yield
            finally:
                process.kill()

    @contextmanager
    def no_packet_leaves(self) -> Iterator[None]:
        """Fails if a packet is sent to an address outside of the cluster, and shows that the count would show one."""
        self.run(f"nft --file - <<'END'\n{COUNT_OUTSIDE}\nEND").expect_success()
        yield
        assert self._outside_packets() == 0
        assert all(self.run(f"timeout 1 bash -c '< /dev/tcp/{each}/443'").code for each in OUTSIDE)
        assert self._outside_packets() > 0
        self.run("nft delete table inet outside").expect_success()

    def _outside_packets(self) -> int:
        listed = json.loads(self.run("nft --json list counter inet outside outside_packets").expect_success().stdout)
        return sum(each["counter"]["packets"] for each in listed["nftables"] if "counter" in each)

    def _inside(self, *command: str) -> list[str]:
        return ["nsenter", f"--net={self._network}", *command]
