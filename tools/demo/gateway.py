"""A gateway in front of the pods of the demo: a server at the address of each, a resolver, and Envoy or nginx."""

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.environment import Environment, UnexpectedError
from demo.room import UID_HEADER
from demo.screen import Screen
from demo.snapshot import NAMESPACE
from localcluster.ports import LOOPBACK, can_listen, free_port, is_listening
from localgateways import configurations, dns, processes, programs
from localgateways.configurations import GatewayAddresses

ENVOY, NGINX = GATEWAYS = ("envoy", "nginx")

POD_PORT = 7777
_PREFERRED_PORT = 8000
_TIMEOUT_SECONDS = 30.0
_POLL_SECONDS = 0.2
_SYNC_SECONDS = 1.0

#: The users whose requests the demo sends; their links exist.
_UIDS = ("alice", "bob")


class Gateway:
    """A gateway in front of the pods, with what it needs.

    Args:
        kind: `envoy` or `nginx`.
        environment: The control plane and the operator.
        screen: Where to show the steps.
    """

    def __init__(self, kind: str, environment: Environment, screen: Screen) -> None:
        self._kind = kind
        self._environment = environment
        self._screen = screen
        self._folder = environment.cluster.folder
        self._servers: dict[str, str] = {}
        self._synced_at = 0.0
        self.url = ""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Starts everything, and shows that users reach their pods; serves DNS while the context lasts.

        Raises:
            UnexpectedError: Something did not happen as expected.
            LocalClusterError: The gateway is not available on this machine.
        """
        with dns.serve_dns(lambda: [*self._servers.values()]) as dns_port:
            self._start_servers()
            resolver = self._start_resolver()
            self._start_gateway(resolver, dns_port)
            for uid in _UIDS:
                self._show_request(uid)
            yield

    def sync(self) -> None:
        """Starts servers for new pods, and ends those of pods that are gone, at most once a second."""
        if time.monotonic() - self._synced_at < _SYNC_SECONDS:
            return
        self._synced_at = time.monotonic()
        self._sync_servers()

    def suggestions(self) -> tuple[tuple[str, str], ...]:
        """Returns commands to try, each with its effect."""
        request = f"curl -H '{UID_HEADER}: alice' {self.url}"
        move = f'kubectl -n {NAMESPACE} patch podlink game.alice --type=merge -p \'{{"spec":{{"podIndex":1}}}}\''
        return (
            (request, "Alice reaches her pod; it counts her requests"),
            (f"{move} && sleep 0.2 && {request}", "Move Alice: her next request reaches the new pod"),
            (f"curl -H '{UID_HEADER}: somebody-new' {self.url}", "The first request of a new user binds it to a pod"),
        )

    def _start_servers(self) -> None:
        self._screen.step("A server at the address of each pod, because no container runs in this cluster")
        self._sync_servers()
        for name, ip in self._servers.items():
            self._screen.info(f"{name} listens at {ip}:{POD_PORT}")

    def _sync_servers(self) -> None:
        addresses = self._pod_addresses()
        for name in [name for name, ip in self._servers.items() if addresses.get(name) != ip]:
            self._environment.cluster.guardian.end(name)
            del self._servers[name]
        for name, ip in addresses.items():
            if name not in self._servers:
                self._start_server(name, ip)

    def _start_server(self, name: str, ip: str) -> None:
        if not can_listen(ip):
            raise UnexpectedError(f"This machine cannot listen at {ip}, the address of {name}.")
        command = [sys.executable, "-m", "demo.room", ip, str(POD_PORT), name]
        self._environment.cluster.guardian.start(name, command)
        self._await_listening(ip, POD_PORT, name)
        self._servers[name] = ip

    def _start_resolver(self) -> str:
        self._screen.step("The resolver, which answers which pod holds a user")
        address = f"{LOOPBACK}:{free_port()}"
        program = str(Path(sys.executable).with_name("statefulroute"))
        kubeconfig = f"--kubeconfig={self._environment.cluster.kubeconfig}"
        options = [f"--http-address={address}", "--log-format=json"]
        self._environment.cluster.guardian.start("resolver", [program, "resolver", kubeconfig, *options])
        self._screen.command(f"statefulroute resolver --http-address {address} &")
        self._await_listening(*_host_and_port(address), "resolver")
        return address

    def _start_gateway(self, resolver: str, dns_port: int) -> None:
        file = "envoy-ext-authz.yaml" if self._kind == ENVOY else "nginx.conf"
        self._screen.step(f"The gateway: {self._kind} with deploy/gateways/{file} and local addresses")
        folder = self._folder / "gateway"
        folder.mkdir()
        port = free_port() if is_listening(_PREFERRED_PORT) else _PREFERRED_PORT
        place = GatewayAddresses(
            port=port,
            grpc_port=free_port(),
            admin_port=free_port(),
            folder=folder,
            namespace=NAMESPACE,
            pods=f"game-pods.{NAMESPACE}.svc.cluster.local",
            resolvers=[resolver],
            dns_port=dns_port,
        )
        with self._screen.progress() as progress:
            if self._kind == ENVOY:
                program = programs.envoy(progress)
                command = processes.envoy_command(program, configurations.envoy(file, place), place)
            else:
                program = programs.nginx(progress)
                command = processes.nginx_command(program, configurations.nginx(file, place), place)
        self._environment.cluster.guardian.start(self._kind, command)
        self._await_listening(LOOPBACK, port, self._kind)
        self.url = f"http://{LOOPBACK}:{port}/"
        self._screen.info(f"it listens at {self.url}")

    def _show_request(self, uid: str) -> None:
        self._screen.command(f"curl -H '{UID_HEADER}: {uid}' {self.url}")
        index = self._kubectl("get", "podlink", f"game.{uid}", "--output=jsonpath={.spec.podIndex}")
        expected, deadline = f"game-{index}: ", time.monotonic() + _TIMEOUT_SECONDS
        while not (answer := self._request(uid)).startswith(expected):
            if time.monotonic() > deadline:
                raise UnexpectedError(f"A request of {uid} was answered by {answer!r}, and not by game-{index}.")
            time.sleep(_POLL_SECONDS)
        self._screen.output(answer)
        self._screen.success(f"{uid} reaches game-{index}, the pod of the link")

    def _request(self, uid: str) -> str:
        request = urllib.request.Request(self.url, headers={UID_HEADER: uid})  # noqa: S310 - of http
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310 - of http
                return str(response.read().decode().strip())
        except urllib.error.HTTPError as error:
            return f"{error.code} {error.read().decode(errors='replace').strip()}"

    def _pod_addresses(self) -> dict[str, str]:
        pods = json.loads(self._kubectl("get", "pods", "--selector=app=game", "--output=json"))["items"]
        addresses = {pod["metadata"]["name"]: pod["status"].get("podIP", "") for pod in pods}
        return {name: ip for name, ip in addresses.items() if ip}

    def _kubectl(self, *arguments: str) -> str:
        result = self._environment.kubectl.run("-n", NAMESPACE, *arguments)
        if result.code:
            raise UnexpectedError(f"kubectl {' '.join(arguments)} failed: {result.stderr.strip()}")
        return result.stdout

    def _await_listening(self, host: str, port: int, part: str) -> None:
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while not is_listening(port, host):
            if time.monotonic() > deadline or self._environment.cluster.guardian.parts()[part].ended is not None:
                log = self._environment.cluster.guardian.log_tail(part, lines=5)
                raise UnexpectedError(f"{part} does not listen at {host}:{port}: {log or 'it has logged nothing'}")
            time.sleep(_POLL_SECONDS)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
