"""Tests that users reach the pod that holds them, and no other pod, for any headers."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from urllib.parse import urlsplit

import aiohttp
import pytest

from gateways.conftest import Environment
from gateways.fleet import DUPLEX, EXT_AUTHZ, EXT_AUTHZ_GRPC, EXT_PROC, GATEWAYS
from gateways.http_client import Reply, send_request
from localcluster.ports import free_port
from support.independent_client import PodLink
from support.scale import IS_LONG
from support.waiting import eventually

HEADER = "x-gateway-destination-endpoint"

#: Placeholders for the endpoint of a pod that does not hold the user, and for an endpoint that no request may reach.
OTHER, TRAP = "OTHER", "TRAP"

#: Headers by which a client may try to select the endpoint.
FORGED: Mapping[str, list[tuple[str, str]]] = {
    "exact": [(HEADER, OTHER)],
    "in capitals": [(HEADER.upper(), OTHER)],
    "in mixed case": [("X-Gateway-Destination-Endpoint", OTHER)],
    "twice": [(HEADER, OTHER), (HEADER, TRAP)],
    "in two cases": [(HEADER, OTHER), (HEADER.title(), OTHER)],
    "a list": [(HEADER, f"{OTHER},{TRAP}")],
    "a list with spaces": [(HEADER, f" {OTHER} , {TRAP} ")],
    "a trailing dot": [(HEADER, OTHER.replace(":", ".:"))],
    "another port": [(HEADER, TRAP)],
    "the gateway itself": [(HEADER, "ADMIN")],
    "no port": [(HEADER, "127.0.0.1")],
    "the metadata service": [(HEADER, "169.254.169.254:80")],
    "the metadata service as a number": [(HEADER, "2852039166:80")],
    "the metadata service in IPv6": [(HEADER, "[fd00:ec2::254]:80")],
    "any address": [(HEADER, "0.0.0.0:80")],
    "a mapped address": [(HEADER, "[::ffff:127.0.0.1]:80")],
    "a name": [(HEADER, "metadata.google.internal:80")],
    "empty": [(HEADER, "")],
    "a URL": [(HEADER, f"http://{OTHER}/")],
    "octal": [(HEADER, "0177.0.0.1:80")],
    "named by Connection": [("Connection", HEADER), (HEADER, OTHER)],
    "underscores": [(HEADER.replace("-", "_"), OTHER)],
    "underscores and exact": [("x_gateway-destination_endpoint", OTHER), (HEADER, OTHER)],
    "the name of the pod": [("x-statefulroute-pod", "OTHERPOD")],
    "what proxies add": [("X-Forwarded-Host", OTHER), ("X-Original-URI", f"/?{HEADER}={OTHER}"), ("Host", OTHER)],
    "what Envoy reads": [("x-envoy-original-dst-host", OTHER), ("x-envoy-retry-on", "5xx,retriable-4xx")],
    "what the resolver reads": [("x-envoy-original-path", "/authorize/play/other"), ("X-Original-Method", "GET")],
}


@pytest.fixture(params=GATEWAYS)
def gateway(request: pytest.FixtureRequest, environment: Environment) -> str:
    """The URL of each gateway in turn."""
    return environment.gateways[request.param].url


@pytest.fixture(scope="module")
def trap() -> Iterator["Trap"]:
    """A server on this machine that no request may reach."""
    server = Trap()
    yield server
    server.end()


class Trap:
    """Counts connections."""

    def __init__(self) -> None:
        self.port = free_port()
        self.visits = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        start = asyncio.start_server(self._visit, "127.0.0.1", self.port)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(10)

    def _visit(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        writer.close()

    def end(self) -> None:
        async def close() -> None:
            self._server.close()
            await self._server.wait_closed()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def bound(environment: Environment, url: str, uid: str) -> str:
    """Sends a request of a user; returns the pod that the user is linked to."""
    answers: list[Reply] = []

    def is_answered() -> bool:
        answers.append(send_request(url, [("x-user-id", uid)]))
        return answers[-1].status not in (503, 504)  # the API server of a busy machine may not bind a user in time

    eventually(is_answered, "the user is bound")
    answer = answers[-1]
    assert answer.status == 200, answer
    link = environment.service.get(f"game.{uid}")
    assert answer.pod == f"game-{link['spec']['podIndex']}"
    return answer.pod


def index(pod: str) -> int:
    """Returns the index of a pod."""
    return int(pod.rpartition("-")[2])


def test_user_reaches_its_pod_through_every_gateway(environment: Environment, uid: str) -> None:
    pods = {bound(environment, each.url, uid) for each in environment.gateways.values() for _ in range(4)}
    assert len(pods) == 1
    for gateway in environment.gateways.values():
        for method, path, body in (("POST", "/rooms/7?x=1", b"x" * 2**20), ("DELETE", "/a%2Fb//c", b"")):
            answer = send_request(gateway.url, [("x-user-id", uid)], path=path, method=method, body=body)
            assert (answer.status, {answer.pod}, answer.echoed["bytes"]) == (200, pods, len(body))
            assert set(answer.echoed_headers(HEADER)) <= {environment.kubelet.endpoint(index(answer.pod))}


def test_new_users_are_spread_over_the_pods(environment: Environment, gateway: str, uid: str) -> None:
    pods: set[str] = set()
    # On a busy machine the caches of the resolvers lag behind, and several users in a row get the same pod.
    for number in range(30):
        pods.add(bound(environment, gateway, f"{uid}-{number}"))
        if len(pods) == 3:
            break
    assert pods == {"game-0", "game-1", "game-2"}


def test_request_without_uid_goes_to_any_pod(gateway: str) -> None:
    answers = [send_request(gateway) for _ in range(12)]
    assert {each.status for each in answers} == {200}
    assert {each.pod for each in answers} == {"game-0", "game-1", "game-2"}


def test_moved_user_reaches_the_new_pod(environment: Environment, gateway: str, uid: str) -> None:
    pod = index(bound(environment, gateway, uid))
    for left, new in ((pod, (pod + 1) % 3), ((pod + 1) % 3, pod)):
        environment.service.client.patch(
            PodLink, f"game.{uid}", environment.service.namespace, {"spec": {"podIndex": new}}
        )

        def reached() -> set[str]:
            return {send_request(gateway, [("x-user-id", uid)]).pod for _ in range(6)}

        # Each of the resolvers must have seen the move.
        eventually(lambda: f"game-{left}" not in reached(), "it has moved")  # noqa: B023
        assert reached() == {f"game-{new}"}


def test_refusal_of_the_resolver_reaches_the_client(gateway: str) -> None:
    answer = send_request(gateway, [("x-user-id", "x" * 1000)])
    assert (answer.status, answer.pod) == (400, "")


@pytest.mark.parametrize("name", [EXT_AUTHZ, EXT_AUTHZ_GRPC, EXT_PROC, DUPLEX])
def test_users_of_a_pod_unknown_to_envoy_reach_no_other_pod(environment: Environment, name: str, uid: str) -> None:
    url = environment.gateways[name].url
    pod = index(bound(environment, url, uid))
    responses = set()

    def answers(status: int) -> bool:
        answer = send_request(url, [("x-user-id", uid)])
        responses.add((answer.status, answer.pod))
        return answer.status == status

    environment.kubelet.unpublished.add(pod)
    try:
        eventually(lambda: answers(503), "Envoy does not know the pod")
        for _ in range(9):
            answers(503)
    finally:
        environment.kubelet.unpublished.clear()
    eventually(lambda: answers(200), "Envoy knows the pod again")
    assert responses == {(200, f"game-{pod}"), (503, "")}


def test_web_socket_stays_with_its_pod(environment: Environment, gateway: str, uid: str) -> None:
    pod = bound(environment, gateway, uid)

    async def talk() -> list[str]:
        async with aiohttp.ClientSession() as http, http.ws_connect(gateway, headers={"x-user-id": uid}) as socket:
            await socket.send_str("hello")
            return [await socket.receive_str() for _ in range(2)]

    assert asyncio.run(talk()) == [pod, "hello"]


#: Upgrades after which a gateway would pass everything on to the pod, also requests of other users.
UPGRADES: Mapping[str, list[str]] = {
    "HTTP/2": ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"],
    "HTTP/2 in capitals": ["Connection: Upgrade", "Upgrade: H2C"],
    "another protocol": ["Connection: Upgrade", "Upgrade: tunnel"],
    "a list": ["Connection: Upgrade", "Upgrade: websocket, h2c"],
    "a list, the other way": ["Connection: Upgrade", "Upgrade: h2c, websocket"],
    "two headers": ["Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c"],
    "two headers, the other way": ["Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket"],
}


@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
def test_upgrade_to_another_protocol_opens_no_tunnel(
    environment: Environment, gateway: str, uid: str, upgrade: list[str]
) -> None:
    bound(environment, gateway, uid)
    address = urlsplit(gateway)
    with socket.create_connection((address.hostname, address.port), timeout=10) as client:
        head = ["GET / HTTP/1.1", f"Host: {address.netloc}", f"x-user-id: {uid}", *upgrade]
        client.sendall("\r\n".join([*head, "", ""]).encode())
        answer = client.recv(65536)
        if b" 101 " in answer.partition(b"\r\n")[0]:
            client.sendall(b"of another user")
            answer += client.recv(65536)
    assert b"of another user" not in answer
    assert answer.startswith(b"HTTP/1.1 ")


def test_request_with_two_uids_reaches_no_pod(gateway: str, uid: str) -> None:
    answer = send_request(gateway, [("x-user-id", uid), ("x-user-id", f"{uid}-other")])
    assert (answer.status, answer.pod) == (400, "")


@pytest.fixture(scope="module")
def pods(environment: Environment) -> Callable[[str, str], str]:
    """Returns the pod of a user of a gateway, who is linked when a test asks for the first time."""
    return cache(partial(bound, environment))


@pytest.mark.parametrize("gateway", [kind for kind in GATEWAYS if kind != DUPLEX or IS_LONG], indirect=True)
@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_forged_endpoint_is_never_used(  # noqa: PLR0913, PLR0917 - the fixtures it needs
    environment: Environment,
    gateway: str,
    pods: Callable[[str, str], str],
    trap: Trap,
    uid: str,
    forged: list[tuple[str, str]],
) -> None:
    linked = f"linked-{urlsplit(gateway).port}"
    pod = pods(gateway, linked)
    other = environment.kubelet.endpoint((index(pod) + 1) % 3)
    admin = next(each.admin or gateway for each in environment.gateways.values()).rpartition("/")[2]
    endpoints = {
        "OTHERPOD": f"game-{(index(pod) + 1) % 3}",
        OTHER: other,
        TRAP: f"127.0.0.1:{trap.port}",
        "ADMIN": admin,
    }

    def filled(value: str) -> str:
        for name, endpoint in endpoints.items():
            value = value.replace(name, endpoint)
        return value

    sent = [(name, filled(value)) for name, value in forged]
    known = [send_request(gateway, [("x-user-id", linked), *sent]) for _ in range(3)]
    assert {(each.status, each.pod) for each in known} == {(200, pod)}
    for each in known:
        assert set(each.echoed_headers(HEADER)) <= {environment.kubelet.endpoint(index(pod))}
    # New users, and requests without a uid, go to the pod that the resolver picks.
    new = send_request(gateway, [("x-user-id", uid), *sent])
    assert (new.status, new.pod) == (200, f"game-{environment.service.get(f'game.{uid}')['spec']['podIndex']}")
    without_uid = [send_request(gateway, sent) for _ in range(6)]
    assert {each.status for each in without_uid} == {200}
    assert {each.pod for each in without_uid} == {"game-0", "game-1", "game-2"}
    assert trap.visits == 0
