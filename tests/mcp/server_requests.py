"""Requests to servers of the example, with a cluster in memory. It runs in the environment of the SDK.

python server_requests.py

Runs the checks at the end, and stops at the first that fails.
"""

import asyncio
import base64
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn

from statefulroute import Configuration, HandOverConfiguration
from statefulroute.testing import InMemoryCluster

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "mcp"))
import notebooks as example_notebooks
import server as example_server

SETTINGS = Configuration(deadline_seconds=1, drain_seconds=0, hand_over=HandOverConfiguration())
META = "io.modelcontextprotocol"
MODERN, OLDER = "2026-07-28", "2025-11-25"
ACCEPT = {"Accept": "application/json, text/event-stream"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a pod, as far as the server reads it."""

    endpoint: str


class Pod:
    """The server of a pod.

    Args:
        notebooks: its notebooks.
        http: sends requests.
        port: the port of its server.
    """

    def __init__(self, notebooks: Any, http: aiohttp.ClientSession, port: int) -> None:
        self.notebooks = notebooks
        self.endpoint = Endpoint(f"127.0.0.1:{port}")
        self._http = http

    async def call(self, tool: str, handle: str = "", *, is_chunked: bool = False, **arguments: str) -> tuple[int, str]:
        """Calls a tool as a client of 2026-07-28, with this header; returns status and body."""
        headers = {**ACCEPT, "MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": tool}
        if handle:
            headers["Mcp-Param-Notebook"] = handle
        meta = {f"{META}/protocolVersion": MODERN, f"{META}/clientInfo": {"name": "test", "version": "1"}}
        meta[f"{META}/clientCapabilities"] = {}
        return await self._post(headers, {"name": tool, "arguments": arguments, "_meta": meta}, is_chunked=is_chunked)

    async def call_of_session(self, tool: str, session: str | None, **arguments: str) -> tuple[int, str]:
        """Calls a tool as an older client."""
        headers = {**ACCEPT, "MCP-Protocol-Version": OLDER}
        if session is not None:
            headers["Mcp-Session-Id"] = session
        return await self._post(headers, {"name": tool, "arguments": arguments})

    async def _post(self, headers: Any, params: Any, *, is_chunked: bool = False) -> tuple[int, str]:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        url = f"http://{self.endpoint.endpoint}/mcp"
        async with self._http.post(url, json=body, headers=headers, chunked=is_chunked or None) as answer:
            return answer.status, await answer.text()


@asynccontextmanager
async def running_pod() -> AsyncIterator[Pod]:
    """Runs a pod of a service while the context lasts."""
    cluster = InMemoryCluster("play")
    cluster.add_service("notebooks", pods=1, port=8080)
    driver = cluster.server_driver("notebooks", 0, configuration=SETTINGS, follow_users=True)
    async with aiohttp.ClientSession() as http, driver:
        notebooks = example_notebooks.Notebooks(driver, await driver.init())
        app = example_server.make_app(notebooks, http)
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
        yield Pod(notebooks, http, server.servers[0].sockets[0].getsockname()[1])
        server.should_exit = True
        await serving


async def check_header_and_session_name_the_notebook() -> None:
    """A request about another notebook than the one that it names is refused: no hand-over would wait for its end."""
    async with running_pod() as pod:
        handle, other = await pod.notebooks.open(), await pod.notebooks.open()
        assert "number" in (await pod.call("add_line", handle, notebook=handle, line="one"))[1]
        assert "number" in (await pod.call_of_session("add_line", handle, notebook=handle, line="two"))[1]
        for session in (other, None):
            _, text = await pod.call_of_session("add_line", session, notebook=handle, line="lost")
            assert "not the notebook of the session" in text, text
        assert (await pod.call("add_line", other, notebook=handle, line="lost"))[0] == 400
        assert pod.notebooks.get(handle).lines == ["one", "two"]


async def check_encoded_handle_is_counted() -> None:
    """A request with an encoded handle waits for the hand-over of its notebook, as one with a plain handle does."""
    async with running_pod() as pod:
        handle = await pod.notebooks.open()
        encoded = f"=?base64?{base64.b64encode(handle.encode()).decode()}?="
        pod.notebooks.get(handle).is_open.clear()
        call = asyncio.create_task(pod.call("add_line", encoded, notebook=handle, line="one"))
        await asyncio.sleep(0.2)
        assert pod.notebooks.get(handle).lines == []
        pod.notebooks.get(handle).is_open.set()
        assert (await call)[0] == 200
        assert pod.notebooks.get(handle).lines == ["one"]


async def check_request_is_passed_on() -> None:
    """A request without a length reaches the pod that has the notebook now."""
    async with running_pod() as old, running_pod() as new:
        handle = await new.notebooks.open()
        _pass_on(old, new.endpoint)
        status, text = await old.call("add_line", handle, is_chunked=True, notebook=handle, line="one")
        assert status == 200, text
        assert new.notebooks.get(handle).lines == ["one"]


async def check_request_that_may_have_been_served_is_not_sent_again() -> None:
    """An answer of 503 would ask for it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with running_pod() as old:
        broken = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = broken.sockets[0].getsockname()[1]
        _pass_on(old, Endpoint(f"127.0.0.1:{port}"))
        assert (await old.call("add_line", "gone", notebook="gone", line="one"))[0] == 502
        broken.close()
        await broken.wait_closed()
        assert (await old.call("add_line", "gone", notebook="gone", line="one"))[0] == 503


def _pass_on(pod: Pod, address: Endpoint) -> None:
    async def next_address(_: str) -> Endpoint:
        return address

    pod.notebooks.next_address = next_address


if __name__ == "__main__":
    asyncio.run(check_header_and_session_name_the_notebook())
    asyncio.run(check_encoded_handle_is_counted())
    asyncio.run(check_request_is_passed_on())
    asyncio.run(check_request_that_may_have_been_served_is_not_sent_again())
