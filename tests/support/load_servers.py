"""Serves the load of pods at the pods' addresses; no container of the simulated cluster does."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pykube.objects import Pod

from localcluster.ports import can_listen, is_listening
from support.service import Service
from support.waiting import eventually

#: The server of the example.
SERVER = Path(__file__).parents[2] / "examples" / "load" / "server.py"

_END_SECONDS = 10.0


def pod_ip(game: Service, pod: str) -> str:
    """Returns the address of a pod; skips the test if this machine cannot listen on it."""

    def address() -> str:
        pod_object = game.client.get(Pod, pod, game.namespace) if game.exists(Pod, pod) else {}
        return str(pod_object.get("status", {}).get("podIP", ""))

    eventually(address, f"{pod} has an address")
    ip = address()
    if not can_listen(ip):
        pytest.skip(f"this machine cannot listen at {ip}, the address of a pod of this cluster")
    return ip


class LoadServer:
    """The server of the example, as a process that runs instead of a pod's container.

    Args:
        ip: The pod's address.
        port: The port.
        file: The file with its response.
    """

    def __init__(self, ip: str, port: int, file: Path) -> None:
        self._place = (ip, port)
        self._file = file
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it listens."""
        ip, port = self._place
        command = [sys.executable, SERVER, "--host", ip, "--port", str(port), "--file", self._file]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self._is_listening, f"the server of {ip} listens")

    def set_answer(self, **answer: Any) -> None:
        """Sets the response."""
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(answer))
        os.replace(new, self._file)  # noqa: PTH105 - whole at every moment

    def kill(self) -> None:
        """Kills the process; it can be started again."""
        self._running().kill()
        self._running().wait(_END_SECONDS)

    def freeze(self) -> None:
        """Suspends the process: clients wait."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resumes the process."""
        self._running().send_signal(signal.SIGCONT)

    def _is_listening(self) -> bool:
        assert self._running().poll() is None, "the server has ended"
        ip, port = self._place
        return is_listening(port, ip)

    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "it was never started"
        return self._process


@contextmanager
def load_servers(game: Service, pods: Iterable[str], port: int, folder: Path) -> Iterator[list[LoadServer]]:
    """Starts a server for each of these pods, for the duration of the context."""
    servers = [LoadServer(pod_ip(game, pod), port, folder / f"{pod}.json") for pod in pods]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.kill()


class LoadCounter:
    """Responds at many addresses and counts the requests of each.

    Attributes:
        answer: The response of each, as JSON.
        status: The code and the reason of the status line.
        headers: Additional headers of the response.
    """

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {"loadState": 1, "waitingTasks": 1}
        self.status = "200 OK"
        self.headers: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def request_count(self, ip: str | None = None) -> int:
        """Returns the number of requests to an address, or to all."""
        return self._counts[ip] if ip is not None else sum(self._counts.values())

    @contextmanager
    def listening(self, ips: Iterable[str], port: int) -> Iterator[None]:
        """Listens at these addresses for the duration of the context."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="load counter", daemon=True)
        thread.start()
        start = asyncio.start_server(self._answer, list(ips), port)
        server = asyncio.run_coroutine_threadsafe(start, loop).result(_END_SECONDS)
        try:
            yield
        finally:
            loop.call_soon_threadsafe(server.close)
            asyncio.run_coroutine_threadsafe(_cancel_other_tasks(), loop).result(_END_SECONDS)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_END_SECONDS)
            loop.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self._counts[writer.get_extra_info("sockname")[0]] += 1
            body = json.dumps(self.answer)
            headers = {"Content-Length": str(len(body)), "Connection": "close", **self.headers}
            lines = (f"HTTP/1.1 {self.status}", *(f"{name}: {value}" for name, value in headers.items()), "", body)
            writer.write("\r\n".join(lines).encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client disconnected
        finally:
            writer.close()


async def _cancel_other_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
