"""Server drivers send states to each other, with real tokens of pods, verified by the keys of a real API server."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from driver.recording import RecordingLogger
from driver.test_hand_over import ask, patch, take
from localcluster import LocalCluster
from localcluster.ports import free_port
from statefulroute import (
    ArrivalCancelled,
    ArrivingUser,
    Configuration,
    HandOverConfiguration,
    LeavingUser,
    ServerDriver,
    StateTooLargeError,
    UserArrived,
)
from support.api_user import APIUser
from support.clients import closing_connections
from support.independent_client import PodLink
from support.namespaces import fresh_namespace
from support.pod_certificates import PodAuthority
from support.pod_tokens import AUDIENCES, TokenIssuer
from support.service import Service


class Pods:
    """The pods of the service, each with an address of this machine and with its tokens.

    Args:
        cluster: the cluster.
        service: the service.
        folder: for the tokens and certificates.

    Attributes:
        service: the service.
        port: the port that all of them listen on.
        received: the states that their applications have taken, by user.
        errors: the errors of `send` in their applications.
    """

    def __init__(self, cluster: LocalCluster, service: Service, folder: Path) -> None:
        self.service = service
        self.port = free_port()
        self.received: dict[str, bytes] = {}
        self.errors: list[Exception] = []
        self.user = APIUser.of(cluster.kubeconfig, service.namespace)
        self._folder = folder

    def ip(self, pod: int) -> str:
        return f"127.0.0.{pod + 2}"

    def prepare(self, pod: int) -> None:
        """Gives a pod its address and its tokens, as the kubelet does."""
        status = {"status": {"podIP": self.ip(pod), "podIPs": [{"ip": self.ip(pod)}]}}
        self.user.request("PATCH", f"pods/game-{pod}/status", status).expect_success()
        for kind in AUDIENCES:
            self.write_token(pod, kind, self.token(pod, AUDIENCES[kind]))

    def token(self, pod: int, audience: str) -> str:
        """Returns a new token of a pod."""
        uid = self.user.request("GET", f"pods/game-{pod}").expect_success()["metadata"]["uid"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": f"game-{pod}", "uid": uid}
        return self.request_token({"audiences": [audience], "expirationSeconds": 600, "boundObjectRef": bound})

    def request_token(self, spec: dict[str, Any], user: APIUser | None = None) -> str:
        """Returns a new token of the default ServiceAccount."""
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        response = (user or self.user).request("POST", "serviceaccounts/default/token", request).expect_success()
        return str(response["status"]["token"])

    def write_token(self, pod: int, kind: str, token: str) -> None:
        directory = self._folder / f"game-{pod}"
        directory.mkdir(exist_ok=True)
        (directory / kind).write_text(token)

    @asynccontextmanager
    async def driver(self, environment: pytest.MonkeyPatch, pod: int, **settings: Any) -> AsyncIterator[ServerDriver]:
        """Runs the driver of a pod, whose application keeps what it receives."""
        environment.setenv("POD_NAME", f"game-{pod}")
        await asyncio.to_thread(self.prepare, pod)
        hand_over = HandOverConfiguration(
            port=self.port, listen_host=self.ip(pod), tokens=self._folder / f"game-{pod}", **settings
        )
        async with closing_connections():
            driver = ServerDriver.from_environment(
                configuration=Configuration(drain_seconds=0, hand_over=hand_over),
                logger=RecordingLogger(),
                follow_users=True,
            )
            driver.on_arriving(self._receive)
            async with driver:
                await self._await_listening(self.ip(pod))
                yield driver

    def sending(self, state: Any) -> Any:
        """Returns a handler that sends a state."""

        async def send(user: LeavingUser) -> None:
            try:
                await user.send(state() if callable(state) else state)
            except Exception as error:
                self.errors.append(error)
                raise

        return send

    async def await_error(self) -> str:
        """Waits for an error of `send`, and returns its message."""
        async with asyncio.timeout(20):
            while not self.errors:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.02)
        return str(self.errors[-1])

    async def _receive(self, user: ArrivingUser) -> None:
        self.received[user.uid] = await user.read()

    async def _await_listening(self, ip: str) -> None:
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection(ip, self.port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)
                else:
                    writer.close()
                    return


@pytest.fixture
def pods(in_a_pod: pytest.MonkeyPatch, cluster: LocalCluster, game: Service, tmp_path: Path) -> Iterator[Pods]:
    """The pods of the service, whose users may be handed over. The links are deleted after the test."""
    del in_a_pod
    game.edit_route(handOver={"timeoutSeconds": 600})
    yield Pods(cluster, game, tmp_path)
    game.client.delete_all(PodLink, game.namespace)
    game.edit_route(handOver=None)


def silence_the_event_loop() -> None:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)


async def bind(pods: Pods, uid: str, pod: int = 0) -> None:
    await asyncio.to_thread(lambda: pods.service.await_bound(pods.service.link(uid, podIndex=pod)))


async def test_states_arrive_before_their_users(in_a_pod: pytest.MonkeyPatch, pods: Pods) -> None:
    part = bytes(range(256)) * 256

    async def large() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield part

    states: dict[str, Any] = {"small": part, "large": large, "empty": b""}
    for uid in states:
        await bind(pods, uid)
    async with pods.driver(in_a_pod, 0) as old, pods.driver(in_a_pod, 1) as new:
        arrivals = new.events()

        async def send(user: LeavingUser) -> None:
            await pods.sending(states[user.uid])(user)

        old.on_leaving(send)
        for uid in states:
            await asyncio.to_thread(ask, pods.service, uid, 1)
        assert set(await take(arrivals, 3)) == {UserArrived("game", uid, 0) for uid in states}
    assert {uid: len(state) for uid, state in pods.received.items()} == {"small": 65536, "large": 2**22, "empty": 0}
    assert hashlib.sha256(pods.received["large"]).digest() == hashlib.sha256(part * 64).digest()


async def test_state_above_the_limit_of_either_pod(in_a_pod: pytest.MonkeyPatch, pods: Pods) -> None:
    await bind(pods, "alice")
    silence_the_event_loop()
    async with pods.driver(in_a_pod, 0) as old, pods.driver(in_a_pod, 1, max_state_bytes=1000):
        for size, message in ((2**22 + 1, "of this pod"), (1001, "than the new pod takes")):
            old.on_leaving(pods.sending(b"x" * size))
            await asyncio.to_thread(ask, pods.service, "alice", 1)
            assert message in await pods.await_error()
            assert isinstance(pods.errors.pop(), StateTooLargeError)
            await asyncio.to_thread(patch, pods.service, "alice", handOver=None)
        assert old.users() == {"alice"}
    assert pods.received == {}


async def test_tokens_that_do_not_prove_which_pod_sends(in_a_pod: pytest.MonkeyPatch, pods: Pods) -> None:
    """Real tokens: of the other audience, of another pod, of another namespace, of no pod, and of no cluster."""
    await bind(pods, "alice")
    silence_the_event_loop()
    account = {"audiences": [AUDIENCES["send"]], "expirationSeconds": 600}
    async with pods.driver(in_a_pod, 0) as old, pods.driver(in_a_pod, 1), pods.driver(in_a_pod, 2):
        good = await asyncio.to_thread(pods.token, 0, AUDIENCES["send"])
        with fresh_namespace(pods.service.kubectl) as namespace:
            other = APIUser(pods.user._config, namespace)  # noqa: SLF001 - the same credentials
            foreign = await asyncio.to_thread(lambda: eventually_token(pods, other))
            tokens = {
                await asyncio.to_thread(pods.token, 0, AUDIENCES["receive"]): "has refused the token of this pod",
                await asyncio.to_thread(pods.token, 2, AUDIENCES["send"]): "no longer asks for this hand-over",
                await asyncio.to_thread(pods.request_token, account): "has refused the token of this pod",
                foreign: "has refused the token of this pod",
                TokenIssuer().issue("game-0", AUDIENCES["send"]): "has refused the token of this pod",
                f"{good[:-4]}AAAA": "has refused the token of this pod",
            }
            for token, message in tokens.items():
                await asyncio.to_thread(pods.write_token, 0, "send", token)
                old.on_leaving(pods.sending(b"forged"))
                await asyncio.to_thread(ask, pods.service, "alice", 1)
                assert message in await pods.await_error()
                pods.errors.clear()
                await asyncio.to_thread(patch, pods.service, "alice", handOver=None)
        assert pods.received == {}
        await asyncio.to_thread(pods.write_token, 0, "send", good)
        await asyncio.to_thread(ask, pods.service, "alice", 1)
        async with asyncio.timeout(20):
            while old.users():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.02)
    assert pods.received == {"alice": b"forged"}


def eventually_token(pods: Pods, user: APIUser) -> str:
    """Returns a token of a pod of the same name in another namespace."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "game-0"},
        "spec": {"schedulerName": "none", "containers": [{"name": "room", "image": "room.invalid/room"}]},
    }
    deadline = time.monotonic() + 20
    while (created := user.request("POST", "pods", pod)).code >= 400 and time.monotonic() < deadline:
        time.sleep(0.1)  # its ServiceAccount does not exist yet
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "game-0", "uid": created.expect_success()["metadata"]["uid"]}
    spec = {"audiences": [AUDIENCES["send"]], "expirationSeconds": 600, "boundObjectRef": bound}
    return pods.request_token(spec, user)


async def test_no_state_is_sent_to_a_pod_that_is_not_the_new_one(in_a_pod: pytest.MonkeyPatch, pods: Pods) -> None:
    """Its address belongs to another pod, which answers for itself."""
    await bind(pods, "alice")
    silence_the_event_loop()
    async with pods.driver(in_a_pod, 0) as old, pods.driver(in_a_pod, 1), pods.driver(in_a_pod, 2):
        status = {"status": {"podIP": pods.ip(2), "podIPs": [{"ip": pods.ip(2)}]}}
        await asyncio.to_thread(pods.user.request, "PATCH", "pods/game-1/status", status)
        old.on_leaving(pods.sending(b"secret"))
        await asyncio.to_thread(ask, pods.service, "alice", 1)
        assert "is not the pod 'game-1', but another one" in await pods.await_error()
    assert pods.received == {}


async def test_captured_token_takes_no_other_user(in_a_pod: pytest.MonkeyPatch, pods: Pods) -> None:
    """The token of a pod is good only for users whom that pod is asked to hand over to the receiver."""
    for uid in ("alice", "bob"):
        await bind(pods, uid)
    await bind(pods, "carol", 2)
    async with pods.driver(in_a_pod, 0) as old, pods.driver(in_a_pod, 1), pods.driver(in_a_pod, 2):
        token = await asyncio.to_thread(pods.token, 0, AUDIENCES["send"])
        old.on_leaving(pods.sending(b"state"))
        await asyncio.to_thread(ask, pods.service, "alice", 1)
        async with asyncio.timeout(20):
            while old.users() != {"bob"}:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.02)
        await asyncio.to_thread(ask, pods.service, "carol", 1)
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
            for uid, pod in (("alice", 1), ("bob", 1), ("carol", 1), ("alice", 2), ("nobody", 1)):
                url = f"http://{pods.ip(pod)}:{pods.port}/v1/arrivals/game/{uid}"
                async with session.put(url, data=b"forged") as response:
                    assert (response.status, (await response.json())["code"]) == (403, "NotHandedOver")
    assert pods.received == {"alice": b"state"}


async def test_arrival_of_a_withdrawn_user_is_cancelled(in_a_pod: pytest.MonkeyPatch, pods: Pods) -> None:
    await bind(pods, "alice")
    is_sent = asyncio.Event()

    async def send(user: LeavingUser) -> None:
        await user.send(b"state")
        is_sent.set()
        await asyncio.Event().wait()

    async with pods.driver(in_a_pod, 0) as old, pods.driver(in_a_pod, 1) as new:
        events = new.events()
        old.on_leaving(send)
        await asyncio.to_thread(ask, pods.service, "alice", 1)
        await is_sent.wait()
        await asyncio.to_thread(patch, pods.service, "alice", handOver=None)
        assert await take(events) == [ArrivalCancelled("game", "alice")]


async def test_states_are_sent_by_tls(in_a_pod: pytest.MonkeyPatch, pods: Pods, tmp_path: Path) -> None:
    await bind(pods, "alice")
    silence_the_event_loop()
    first, second = PodAuthority(), PodAuthority()
    files = [first.write(tmp_path / name) for name in ("zero", "one")]
    async with pods.driver(in_a_pod, 0, tls=files[0]) as old, pods.driver(in_a_pod, 1, tls=files[1]):
        old.on_leaving(pods.sending(b"secret"))
        second.write(tmp_path / "zero")
        await asyncio.to_thread(ask, pods.service, "alice", 1)
        assert "connection to the new pod has failed" in await pods.await_error()
        assert pods.received == {}
        second.write(tmp_path / "one")  # both are rotated now
        await asyncio.to_thread(ask, pods.service, "alice", 1)
        async with asyncio.timeout(20):
            while old.users():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.02)
    assert pods.received == {"alice": b"secret"}


def test_every_service_account_may_read_the_keys(cluster: LocalCluster, game: Service) -> None:
    user = APIUser.of(cluster.kubeconfig, game.namespace).as_account("default")
    keys = user.request("GET", "/openid/v1/jwks").expect_success()["keys"]
    assert {key["alg"] for key in keys} <= {"RS256", "ES256", "ES384", "ES512"}
    assert all(key["kid"] for key in keys)
