"""Runs Envoy Gateway without a cluster: it reads objects from a file, and runs Envoy on this machine."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from localcluster.errors import LocalClusterError
from localcluster.programs import Recipe, ensure_built
from localcluster.progress import Progress
from localcluster.toolchain import find_go
from localgateways.configurations import CONFIGURATIONS, GatewayAddresses, replace_all
from localgateways.processes import Gateway, running_process

#: Envoy Gateway listens on these ports whatever its configuration says: only one at a time can run on a machine.
PORTS = (8081, 18000, 18001, 18002, 19001)

_MODULE = Path(__file__).parent / "envoygateway"
_GROUP = "gateway.envoyproxy.io"
_CONTROLLER = f"{_GROUP}/gatewayclass-controller"
_RESOLVER = "{name: statefulroute-resolver, namespace: statefulroute-system, port: 9002}"


def build_envoy_gateway(progress: Progress) -> Path:
    """Returns the program, built from source if needed, which takes minutes.

    Raises:
        LocalClusterError: It cannot be built.
    """
    recipe = Recipe("envoy-gateway", _MODULE, "github.com/envoyproxy/gateway/cmd/envoy-gateway", "-s -w")
    return ensure_built(recipe, find_go(progress), progress)


def write_objects(addresses: GatewayAddresses, envoy_version: str) -> None:
    """Writes the objects of deploy/gateways/envoy-gateway.yaml with local addresses; a running gateway follows them.

    Without an API server there are no Services: Backends with the addresses of pods and resolver replace them. From
    a file, Envoy Gateway 1.9.0 accepts no ReferenceGrant for a policy: the resolver is in the namespace of the service.

    Args:
        addresses: The local addresses, with those of the pods and of one resolver.
        envoy_version: The version of Envoy.

    Raises:
        ValueError: A text to replace is missing.
    """
    backend = f"group: {_GROUP}, kind: Backend, "
    text = replace_all(
        (CONFIGURATIONS / "envoy-gateway.yaml").read_text(),
        {
            "namespace: play": f"namespace: {addresses.namespace}",
            "value: play/game": f"value: {addresses.namespace}/game",
            "port: 80}": f"port: {addresses.port}}}",
            "{name: game-pods, port: 7777}": f"{{{backend}name: game-pods}}",
            _RESOLVER: f"{{{backend}name: statefulroute-resolver}}",
        },
    )
    (resolver,) = addresses.resolvers
    pods = [f"{ip}:{addresses.pod_port}" for ip in addresses.pod_addresses]
    added = [
        *_class(addresses.namespace, envoy_version),
        _backend("game-pods", addresses.namespace, pods),
        _backend("statefulroute-resolver", addresses.namespace, [resolver]),
    ]
    folder = addresses.folder / "objects"
    folder.mkdir(exist_ok=True)
    written = folder.with_name("objects.new")
    written.write_text(f"{text}---\n{yaml.safe_dump_all(added)}")
    written.replace(folder / "objects.yaml")


@contextmanager
def run_envoy_gateway(program: Path, envoy: Path, addresses: GatewayAddresses) -> Iterator[Gateway]:
    """Runs Envoy Gateway, with its Envoy, until the context exits.

    Args:
        program: The path of Envoy Gateway.
        envoy: The path of Envoy.
        addresses: The addresses it uses.

    Raises:
        LocalClusterError: It does not start; the message contains its log.
    """
    version = version_of(envoy)
    folder = addresses.folder
    installed = folder / "data" / "envoy-versions" / version / "bin" / "envoy"
    installed.parent.mkdir(parents=True)
    installed.symlink_to(envoy)
    write_objects(addresses, version)
    _create_certificates(program, folder / "config")
    configuration = folder / "envoy-gateway.yaml"
    configuration.write_text(yaml.safe_dump(_configuration(addresses)))
    with running_process([program, "server", "--config-path", configuration], addresses) as pid:
        address = f"127.0.0.1:{addresses.port}"
        yield Gateway(f"http://{address}", address, None, pid)


def version_of(envoy: Path) -> str:
    """Returns the version of an Envoy, like `1.40.0`.

    Raises:
        LocalClusterError: The program does not report one.
    """
    output = subprocess.run([envoy, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"/(\d+\.\d+\.\d+)/", output)
    if match is None:
        raise LocalClusterError(f"{envoy} reports no version: {output}")
    return match[1]


def _create_certificates(program: Path, folder: Path) -> None:
    """Creates the certificates by which Envoy Gateway and its Envoy authenticate each other."""
    command = [str(program), "certgen", "--local", "--config-home", str(folder)]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode:
        raise LocalClusterError(f"Envoy Gateway creates no certificates:\n{completed.stdout}{completed.stderr}")


def _configuration(addresses: GatewayAddresses) -> Mapping[str, Any]:
    folder = addresses.folder
    homes = {"configHome": "config", "dataHome": "data", "stateHome": "state", "runtimeDir": "run"}
    return {
        "apiVersion": f"{_GROUP}/v1alpha1",
        "kind": "EnvoyGateway",
        "gateway": {"controllerName": _CONTROLLER},
        "provider": {
            "type": "Custom",
            "custom": {
                "resource": {"type": "File", "file": {"paths": [str(folder / "objects")]}},
                "infrastructure": {
                    "type": "Host",
                    "host": {field: str(folder / name) for field, name in homes.items()},
                },
            },
        },
        "admin": {"address": {"host": "127.0.0.1", "port": addresses.admin_port}},
        "extensionApis": {"enableBackend": True},
    }


def _class(namespace: str, envoy_version: str) -> list[Mapping[str, Any]]:
    """Returns the GatewayClass, which names the version of Envoy."""
    host = {"type": "Host", "host": {"envoyVersion": envoy_version}}
    parameters = {"group": _GROUP, "kind": "EnvoyProxy", "name": "local", "namespace": namespace}
    return [
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {"name": "eg"},
            "spec": {"controllerName": _CONTROLLER, "parametersRef": parameters},
        },
        {
            "apiVersion": f"{_GROUP}/v1alpha1",
            "kind": "EnvoyProxy",
            "metadata": {"name": "local", "namespace": namespace},
            "spec": {"provider": host},
        },
    ]


def _backend(name: str, namespace: str, addresses: list[str]) -> Mapping[str, Any]:
    hosts = [address.rpartition(":") for address in addresses]
    endpoints = [{"ip": {"address": host, "port": int(port)}} for host, _, port in hosts]
    return {
        "apiVersion": f"{_GROUP}/v1alpha1",
        "kind": "Backend",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"endpoints": endpoints},
    }
