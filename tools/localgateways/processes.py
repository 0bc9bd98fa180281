"""Runs gateways as processes on this machine."""

import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.ports import is_listening
from localcluster.processes import wait_until
from localgateways.configurations import GatewayAddresses

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """A listening gateway.

    Attributes:
        url: The URL for users' requests.
        grpc: HOST:PORT for users' gRPC calls.
        admin: The URL of its admin interface, if it has one.
        pid: Its process id.
    """

    url: str
    grpc: str
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
    with running_process(envoy_command(program, configuration, addresses), addresses) as pid:
        yield _gateway(addresses, pid, grpc_port=addresses.port, admin=f"http://127.0.0.1:{addresses.admin_port}")


@contextmanager
def nginx(program: Path, configuration: str, addresses: GatewayAddresses) -> Iterator[Gateway]:
    """Runs an nginx until the context exits. Has the arguments and errors of `envoy`."""
    with running_process(nginx_command(program, configuration, addresses), addresses) as pid:
        yield _gateway(addresses, pid, grpc_port=addresses.grpc_port)


@contextmanager
def haproxy(program: Path, configuration: str, addresses: GatewayAddresses) -> Iterator[Gateway]:
    """Runs a HAProxy until the context exits. Has the arguments and errors of `envoy`."""
    with running_process(haproxy_command(program, configuration, addresses), addresses) as pid:
        yield _gateway(addresses, pid, grpc_port=addresses.port)


@contextmanager
def traefik(program: Path, configuration: str, addresses: GatewayAddresses) -> Iterator[Gateway]:
    """Runs a Traefik until the context exits. Has the arguments and errors of `envoy`."""
    with running_process(traefik_command(program, configuration, addresses), addresses) as pid:
        gateway = _gateway(addresses, pid, grpc_port=addresses.port)
        if not wait_until(lambda: _has_routes(gateway.url, addresses.uid_header), _START_SECONDS):
            raise LocalClusterError(f"traefik does not read its dynamic configuration in {addresses.folder}")
        yield gateway


def _has_routes(url: str, uid_header: str) -> bool:
    """Returns whether a Traefik has read its dynamic configuration, which it does after it listens."""
    # The resolver refuses this uid, so the request reaches no pod.
    request = urllib.request.Request(url, headers={uid_header: "x" * 1000})  # noqa: S310 - of http
    try:
        with urllib.request.urlopen(request, timeout=_STOP_SECONDS):  # noqa: S310 - of http
            return True
    except urllib.error.HTTPError as error:
        with error:
            return error.code != HTTPStatus.NOT_FOUND
    except OSError:
        return False


def envoy_command(program: Path, configuration: str, addresses: GatewayAddresses) -> list[str]:
    """Writes the configuration of an Envoy, and returns the command that runs it."""
    file = addresses.folder / "envoy.yaml"
    file.write_text(configuration)
    # Without this option all Envoys share one base id, and the second does not start.
    settings = ["--log-level", "warn", "--use-dynamic-base-id", "--concurrency", "1"]
    return [str(program), "--config-path", str(file), *settings]


def nginx_command(program: Path, configuration: str, addresses: GatewayAddresses) -> list[str]:
    """Writes the configuration of an nginx, and returns the command that runs it."""
    file = addresses.folder / "nginx.conf"
    file.write_text(configuration)
    settings = "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"
    return [str(program), "-p", str(addresses.folder), "-c", str(file), "-g", settings]


def haproxy_command(program: Path, configuration: str, addresses: GatewayAddresses) -> list[str]:
    """Writes the configuration of a HAProxy, and returns the command that runs it."""
    file = addresses.folder / "haproxy.cfg"
    file.write_text(configuration)
    return [str(program), "-db", "-f", str(file)]


def traefik_command(program: Path, configuration: str, addresses: GatewayAddresses) -> list[str]:
    """Writes the configuration of a Traefik, and returns the command that runs it."""
    file = addresses.folder / "traefik.yaml"
    file.write_text(configuration)
    return [str(program), f"--configFile={file}"]


def _gateway(addresses: GatewayAddresses, pid: int, *, grpc_port: int, admin: str | None = None) -> Gateway:
    return Gateway(f"http://127.0.0.1:{addresses.port}", f"127.0.0.1:{grpc_port}", admin, pid)


@contextmanager
def running_process(command: Sequence[str | Path], addresses: GatewayAddresses) -> Iterator[int]:
    """Runs a gateway that listens on its port until the context exits; its process id.

    Args:
        command: The command that runs it.
        addresses: The addresses it uses; its log is in their folder.

    Raises:
        LocalClusterError: It does not start; the message contains its log.
    """
    name = Path(command[0]).name
    log = addresses.folder / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        is_up = wait_until(lambda: process.poll() is not None or is_listening(addresses.port), _START_SECONDS)
        if not is_up or process.poll() is not None:
            raise LocalClusterError(f"{name} does not start:\n{log.read_text()}")
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
