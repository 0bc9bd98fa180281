"""Runs gateways as processes on this machine."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.processes import wait_until
from localgateways.configurations import GatewayAddresses

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """A listening gateway.

    Attributes:
        url: The URL for users' requests.
        admin: The URL of its admin interface, if it has one.
        pid: Its process id.
    """

    url: str
    admin: str | None
    pid: int


@contextmanager
def envoy(program: Path, configuration: str, addresses: GatewayAddresses) -> Iterator[Gateway]:
    """Runs an Envoy until the context exits.

    Args:
        program: The path of Envoy.
        configuration: The text that `configurations.envoy` returns.
        addresses: The addresses it uses.

    Raises:
        LocalClusterError: It does not start; the message contains its log.
    """
    file = addresses.folder / "envoy.yaml"
    file.write_text(configuration)
    # Without this option all Envoys share one base id, and the second does not start.
    settings = ["--log-level", "warn", "--use-dynamic-base-id", "--concurrency", "1"]
    with _running_process([program, "--config-path", file, *settings], addresses) as pid:
        yield Gateway(f"http://127.0.0.1:{addresses.port}", f"http://127.0.0.1:{addresses.admin_port}", pid)


@contextmanager
def nginx(program: Path, configuration: str, addresses: GatewayAddresses) -> Iterator[Gateway]:
    """Runs an nginx until the context exits. Has the arguments and errors of `envoy`."""
    file = addresses.folder / "nginx.conf"
    file.write_text(configuration)
    settings = "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"
    with _running_process([program, "-p", addresses.folder, "-c", file, "-g", settings], addresses) as pid:
        yield Gateway(f"http://127.0.0.1:{addresses.port}", None, pid)


@contextmanager
def _running_process(command: Sequence[str | Path], addresses: GatewayAddresses) -> Iterator[int]:
    name = Path(command[0]).name
    log = addresses.folder / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        is_listening = wait_until(lambda: process.poll() is not None or _listens(addresses.port), _START_SECONDS)
        if not is_listening or process.poll() is not None:
            raise LocalClusterError(f"{name} does not start:\n{log.read_text()}")
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex(("127.0.0.1", port))
