"""Pods that transfer states by HTTP on this machine, each with an address of its own."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from localcluster.ports import free_port
from statefulroute import HandOverConfiguration, ServerInformation, TLSFiles
from statefulroute.cluster.errors import NotFoundError
from statefulroute.driver.refusals import RefusedError
from statefulroute.driver.transfer.http_transfer import HTTPTransfer
from statefulroute.driver.transfer.tokens import KEYS_PATH
from support.pod_tokens import AUDIENCES, TokenIssuer, key_set


class FakeAPIServer:
    """Answers what the transfer reads.

    Attributes:
        issuer: issues the tokens of the cluster.
        ips: the address of each pod.
        uids: the UID of each pod whose UID is not `uid-of-<pod>`.
    """

    def __init__(self) -> None:
        self.issuer = TokenIssuer()
        self.ips: dict[str, str] = {}
        self.uids: dict[str, str] = {}

    async def get(self, path: str) -> bytes:
        if path == KEYS_PATH:
            return key_set(self.issuer)
        name = path.rpartition("/")[2]
        if name not in self.ips:
            raise NotFoundError(HTTPStatus.NOT_FOUND, "NotFound", name)
        uid = self.uids.get(name, f"uid-of-{name}")
        return json.dumps({"metadata": {"uid": uid}, "status": {"podIP": self.ips[name]}}).encode()


#: Takes a state, which it may read.
Take = Callable[[str, str, str, AsyncIterator[bytes]], Any]


class Acceptor:
    """Takes all users, or does what the test says.

    Attributes:
        taken: service, uid, sender and state of each user.
        reconsidered: the users that will perhaps not arrive.
        instead: called in place of reading the state.
        refusal: the error that it raises.
    """

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, str, bytes]] = []
        self.reconsidered: list[tuple[str, str]] = []
        self.instead: Take | None = None
        self.refusal: RefusedError | None = None

    async def take(self, service: str, uid: str, origin: str, parts: AsyncIterator[bytes]) -> None:
        if self.refusal is not None:
            raise self.refusal
        if self.instead is not None:
            await self.instead(service, uid, origin, parts)
            return
        state = b"".join([part async for part in parts])
        self.taken.append((service, uid, origin, state))

    def reconsider(self, service: str, uid: str) -> None:
        self.reconsidered.append((service, uid))


class Pods:
    """Pods of `game` in `play`.

    Args:
        folder: for their tokens.
        port: the port that all of them listen on.
        settings: of all pods.

    Attributes:
        api_server: what they read.
        acceptor: takes the users of all pods.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.api_server = FakeAPIServer()
        self.acceptor = Acceptor()
        self.port = free_port()
        self._folder = folder
        self._settings = settings

    def tokens(self, name: str) -> Path:
        """Returns the directory of the tokens of a pod."""
        return self._folder / name

    @asynccontextmanager
    async def pod(
        self, index: int, *, is_receiving: bool = True, tls: TLSFiles | None = None, **settings: Any
    ) -> AsyncIterator[HTTPTransfer]:
        """Runs the transfer of a pod."""
        name, ip = f"game-{index}", f"127.0.0.{index + 2}"
        directory = self.tokens(name)
        directory.mkdir(exist_ok=True)
        for kind, audience in AUDIENCES.items():
            (directory / kind).write_text(self.api_server.issuer.issue(name, audience))
        self.api_server.ips[name] = ip
        configuration = HandOverConfiguration(
            port=self.port, listen_host=ip, tokens=directory, tls=tls, **self._settings, **settings
        )
        server = ServerInformation(namespace="play", service="game", pod_name=name, pod=index)
        transfer = HTTPTransfer(self.api_server, server, configuration)  # type: ignore[arg-type]
        serving = asyncio.create_task(transfer.serve(self.acceptor)) if is_receiving else None
        if is_receiving:
            await self._await_listening(ip)
        try:
            yield transfer
        finally:
            if serving is not None:
                serving.cancel()
                await asyncio.wait({serving})
            await transfer._sender.close()  # noqa: SLF001 - its stack closes it otherwise

    async def _await_listening(self, ip: str) -> None:
        async with asyncio.timeout(5):
            while True:
                try:
                    _, writer = await asyncio.open_connection(ip, self.port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.005)
                else:
                    writer.close()
                    return
