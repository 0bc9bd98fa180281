"""Pods that answer with their load, at the pods' own addresses: on the simulated cluster no container does it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from pykube.objects import Pod

from support.service import Service
from support.waiting import eventually

#: The server that the example shows.
SERVER = Path(__file__).parents[2] / "examples" / "load" / "server.py"

_END_SECONDS = 10.0


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pod_ip(game: Service, pod: str) -> str:
    """The address of a pod, if this machine can listen on it; else the test is skipped."""

    def address() -> str:
        known = game.client.get(Pod, pod, game.namespace) if game.exists(Pod, pod) else {}
        return str(known.get("status", {}).get("podIP", ""))

    eventually(address, f"{pod} has an address")
    ip = address()
    if not (ip_address(ip).is_loopback and _can_listen(ip)):
        pytest.skip(f"a test cannot answer at {ip}, the address of a pod of this cluster")
    return ip


def _can_listen(ip: str) -> bool:
    """Whether this machine has the address: not every system has all of 127.0.0.0/8."""
    with socket.socket() as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return False
    return True


class LoadServer:
    """The example's server as a process of its own, in the place of a pod's container.

    Args:
        ip: The pod's address.
        port: Where it answers.
        file: What it answers stands there.
    """

    def __init__(self, ip: str, port: int, file: Path) -> None:
        self._place = (ip, port)
        self._file = file
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        ip, port = self._place
        command = [sys.executable, SERVER, "--host", ip, "--port", str(port), "--file", self._file]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self._is_listening, f"the server of {ip} listens")

    def set_answer(self, **answer: Any) -> None:
        """Have it answer this from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(answer))
        os.replace(new, self._file)  # noqa: PTH105 - whole at every moment

    def kill(self) -> None:
        """End it in a way that it cannot notice; it may be started again."""
        self._running().kill()
        self._running().wait(_END_SECONDS)

    def freeze(self) -> None:
        """Have it hang: whoever connects waits."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        self._running().send_signal(signal.SIGCONT)

    def _is_listening(self) -> bool:
        assert self._running().poll() is None, "the server has ended"
        with socket.socket() as probe:
            return not probe.connect_ex(self._place)

    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "it was never started"
        return self._process


@contextmanager
def load_servers(game: Service, pods: Iterable[str], port: int, folder: Path) -> Iterator[list[LoadServer]]:
    """A server for each of these pods, started, as long as the context lasts."""
    servers = [LoadServer(pod_ip(game, pod), port, folder / f"{pod}.json") for pod in pods]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.kill()


class LoadCounter:
    """Answers at many addresses at once, and counts how often each was asked.

    Attributes:
        answer: The answer of each, as JSON.
        status: The status line's code and words.
        headers: More headers of the answer.
    """

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {"loadState": 1, "waitingTasks": 1}
        self.status = "200 OK"
        self.headers: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def request_count(self, ip: str | None = None) -> int:
        """How often an address was asked; without one, all of them."""
        return self._counts[ip] if ip is not None else sum(self._counts.values())

    @contextmanager
    def listening(self, ips: Iterable[str], port: int) -> Iterator[None]:
        """Answer at these addresses as long as the context lasts."""
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
            pass  # whoever asked has gone
        finally:
            writer.close()


async def _cancel_other_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
