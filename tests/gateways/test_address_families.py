"""Every gateway listens at all addresses of IPv4 and IPv6, and starts where the machine has no address of IPv6.

It passes on the address of the client as the client has it, also that of IPv4.

With both, the resolver and the pod have an address of IPv6 alone: in a cluster with IPv6, pods have 127.0.0.1, too.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateways.fleet import EXT_AUTHZ, HAPROXY, NGINX, TRAEFIK, Programs
from localgateways import configurations, processes
from localgateways.configurations import GatewayAddresses
from support.network_namespace import Families, in_namespace

SCRIPT = Path(__file__).with_name("families.py")

#: The patterns of addresses that a user replaces for pods with IPv6.
PODS = {
    NGINX: {r"^127\.\d{1,3}\.\d{1,3}\.\d{1,3}:": r"^\[::1\]:"},
    HAPROXY: {r"^127\.[0-9]+\.[0-9]+\.[0-9]+:": r"^\[::1\]:"},
}

ENVOY_FORWARDS = (
    "request_headers_to_add: "
    '[{header: {key: X-Forwarded-For, value: "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"}}]'
)

#: The options by which a user lets a gateway name the client to pods; Traefik does so by default.
FORWARDED = {
    EXT_AUTHZ: {'domains: ["*"]': 'domains: ["*"]\n              ' + ENVOY_FORWARDS},
    NGINX: {"proxy_set_header Host $http_host;": "proxy_set_header X-Forwarded-For $remote_addr;"},
    HAPROXY: {"option srvtcpka": "option forwardfor"},
}


def command(kind: str, programs: Programs, families: Families, folder: Path) -> list[str]:
    """Returns the command of a gateway whose resolver and pod have the last address of the machine."""
    address = families.addresses[-1]
    host = f"[{address}]" if ":" in address else address
    place = GatewayAddresses(
        is_public=True,
        port=8000,
        admin_port=9901,
        folder=folder,
        namespace="play",
        pods=f'"{address}"',
        pod_addresses=[host] * 3,
        resolvers=[f"{host}:8080"],
    )
    if kind == EXT_AUTHZ:
        text = configurations.envoy("envoy-ext-authz.yaml", place, FORWARDED[kind])
        return processes.envoy_command(programs.envoy, text, place)
    changes = FORWARDED.get(kind, {}) | (PODS.get(kind, {}) if ":" in address else {})
    if kind == NGINX:
        text = configurations.replace_all(configurations.nginx("nginx.conf", place), changes)
        return processes.nginx_command(programs.nginx, text, place)
    if kind == HAPROXY:
        text = configurations.replace_all(configurations.haproxy("haproxy.cfg", place), changes)
        return processes.haproxy_command(programs.haproxy, text, place)
    return processes.traefik_command(programs.traefik, configurations.traefik(place), place)


@pytest.mark.parametrize("families", [Families.IPV4, Families.BOTH], ids=str)
@pytest.mark.parametrize("kind", [EXT_AUTHZ, NGINX, HAPROXY, TRAEFIK])
def test_every_gateway_answers_at_every_address_of_the_machine(
    gateway_programs: Programs, tmp_path: Path, kind: str, families: Families
) -> None:
    gateway = command(kind, gateway_programs, families, tmp_path)
    script = [sys.executable, str(SCRIPT), json.dumps(families.addresses), *gateway]
    result = subprocess.run(in_namespace(families, script), capture_output=True, text=True, check=False)
    assert json.loads(result.stdout or "null") == {each: each for each in families.addresses}, result.stderr
