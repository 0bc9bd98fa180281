"""Clients that run workflows, by plain HTTP, one after another until the end of the input.

python workflows.py RECORD PAUSE WAY=URL=CLIENTS...

Each workflow is ten calls: a client opens a notebook (or a session, as clients before 2026-07-28), adds eight lines,
and closes it. Each answer has to fit the calls before.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import msgspec

from mcp.record import Workflow

#: The lines of a workflow.
LINES = 8

MODERN, OLDER = "2026-07-28", "2025-11-25"

_META = "io.modelcontextprotocol"
_INFO = {"name": "workflows", "version": "1"}
_HEADERS = {"Accept": "application/json, text/event-stream"}

#: The statuses of a gateway that has not sent the request to any pod. HTTP clients send it again.
_NO_POD = frozenset({429, 503})

#: How often a call is sent again, and after which time; longer than any hand-over or start of a pod.
_TRIES, _PAUSE_SECONDS = 120, 0.25

#: With round robin among six pods, one of so many requests reaches the right one.
_TIDY_TRIES = 40

_TIMEOUT = aiohttp.ClientTimeout(total=60)


class NotFoundError(Exception):
    """A server does not know the notebook or the session."""


class FailedError(Exception):
    """There is no answer of a server."""


class Session(Protocol):
    """The requests of a client about one notebook."""

    async def open(self) -> None:
        """Opens the notebook."""

    async def call(self, tool: str, **arguments: str) -> dict[str, Any]:
        """Calls a tool about the notebook, and returns its answer.

        Raises:
            NotFoundError: the server does not know the notebook.
            FailedError: there is no answer of a server.
        """


class PlainSession:
    """Sends the requests of a client by HTTP.

    Args:
        http: the connections.
        url: the URL of the gateway.
        workflow: counts what is sent again.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, workflow: Workflow) -> None:
        self._http = http
        self._url = url
        self._workflow = workflow

    async def _post(self, headers: Mapping[str, str], body: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, str]]:
        """Sends a message, and returns the result with the headers of the answer."""
        for _ in range(_TRIES):
            try:
                async with self._http.post(self._url, json=body, headers={**_HEADERS, **headers}) as response:
                    status, answer = response.status, await response.read()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise FailedError(f"{type(error).__name__}: {error}") from error
            if status not in _NO_POD:
                break
            self._workflow.retried += 1
            await asyncio.sleep(_PAUSE_SECONDS)
        if status == 202:
            return {}, {}
        try:
            message = json.loads(answer)
        except ValueError:
            message = {}
        if status == 404 or "Session not found" in str(message.get("error")):
            raise NotFoundError
        if status != 200 or "result" not in message:
            raise FailedError(f"{status}: {answer[:200]!r}")
        return message["result"], response.headers

    async def _call(self, headers: Mapping[str, str], params: dict[str, Any]) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        result, _ = await self._post(headers, body)
        if result.get("isError"):
            if "There is no such notebook" in str(result["content"]):
                raise NotFoundError
            raise FailedError(str(result["content"]))
        return dict(result["structuredContent"])


class ModernSession(PlainSession):
    """A client of 2026-07-28: no session, and the handle as an argument and as a header."""

    async def open(self) -> None:
        answer = await self.call("open_notebook")
        self._workflow.notebook = answer["notebook"]
        self._workflow.answered_by(answer["pod"])

    async def call(self, tool: str, **arguments: str) -> dict[str, Any]:
        headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": tool}
        if self._workflow.notebook:
            arguments["notebook"] = headers["Mcp-Param-Notebook"] = self._workflow.notebook
        meta = {
            f"{_META}/protocolVersion": MODERN,
            f"{_META}/clientInfo": _INFO,
            f"{_META}/clientCapabilities": dict[str, Any](),
        }
        return await self._call(headers, {"name": tool, "arguments": arguments, "_meta": meta})


class OlderSession(PlainSession):
    """A client of 2025-11-25: each request names the session."""

    async def open(self) -> None:
        params = {"protocolVersion": OLDER, "capabilities": {}, "clientInfo": _INFO}
        body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
        _, headers = await self._post({}, body)
        self._workflow.notebook = headers["Mcp-Session-Id"]
        self._workflow.calls += 1
        await self._post(self._of_session, {"jsonrpc": "2.0", "method": "notifications/initialized"})

    async def call(self, tool: str, **arguments: str) -> dict[str, Any]:
        arguments["notebook"] = self._workflow.notebook
        return await self._call(self._of_session, {"name": tool, "arguments": arguments})

    @property
    def _of_session(self) -> dict[str, str]:
        return {"Mcp-Session-Id": self._workflow.notebook, "MCP-Protocol-Version": OLDER}


SESSIONS = {MODERN: ModernSession, OLDER: OlderSession}


async def run_workflow(session: Session, workflow: Workflow, pause: float) -> None:
    """Runs a workflow, with pauses of twice this many seconds at most.

    Goes on after calls that fail, as an agent does that reads errors.
    """
    await _is_done(session.open(), workflow)
    if not workflow.notebook:
        return
    written = list[str]()
    for number in range(LINES):
        await asyncio.sleep(random.uniform(0, 2 * pause))
        line = f"{workflow.notebook} {number}"
        answer = await _answer(session, workflow, "add_line", line=line)
        if answer is not None:
            written.append(line)
            if answer["number"] != len(written):
                workflow.wrong.append(f"{len(written)} lines are {answer['number']} at {answer['pod']}")
    answer = await _answer(session, workflow, "close_notebook")
    if answer is not None and answer["lines"] != written:
        workflow.wrong.append(f"{answer['pod']} has {answer['lines']} in place of {written}")


async def tidy_up(session: Session) -> None:
    """Closes a notebook that may still be at some pod, however many other pods are asked: rollouts wait for it."""
    for _ in range(_TIDY_TRIES):
        with suppress(NotFoundError, FailedError):
            await session.call("close_notebook")
            return


async def _answer(session: Session, workflow: Workflow, tool: str, **arguments: str) -> dict[str, Any] | None:
    """Calls a tool, and returns its answer; None if it has failed."""
    answer: dict[str, Any] = {}

    async def call() -> None:
        answer.update(await session.call(tool, **arguments))
        workflow.answered_by(answer["pod"])

    return answer if await _is_done(call(), workflow) else None


async def _is_done(call: Any, workflow: Workflow) -> bool:
    """Returns whether a call has succeeded; records why it has not."""
    try:
        await call
    except NotFoundError:
        workflow.calls += 1
        workflow.not_found += 1
    except FailedError as error:
        workflow.failed.append(str(error))
    else:
        return True
    return False


async def run_client(way: str, url: str, pause: float, record: Any, is_over: asyncio.Event) -> None:
    """Runs workflows by one gateway, one after another, as both kinds of clients in turn."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT, connector=aiohttp.TCPConnector(limit=1)) as http:
        for kind in cycle(SESSIONS):
            if is_over.is_set():
                return
            workflow, started = Workflow(way=way, client=kind), time.monotonic()
            session = SESSIONS[kind](http, url, workflow)
            await run_workflow(session, workflow, pause)
            workflow.seconds = time.monotonic() - started
            record.write(msgspec.json.encode(workflow) + b"\n")
            if workflow.not_found:
                await tidy_up(session)


async def main(file: str, pause: str, *ways: str) -> None:
    """Runs clients by each way until the end of the input, and lets their workflows end."""
    is_over, loop = asyncio.Event(), asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    with Path(file).open("ab", buffering=0) as record:  # noqa: ASYNC230 - a file of this machine
        async with asyncio.TaskGroup() as group:
            for way in ways:
                name, url, clients = way.split("=")
                for _ in range(int(clients)):
                    group.create_task(run_client(name, url, float(pause), record, is_over))
            await lines.read()
            is_over.set()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
