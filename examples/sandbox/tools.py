"""Runs the commands of a sandbox's user: nothing here is trusted, and nothing here knows a token.

It answers requests at a Unix socket. The server of the sandbox decides whose commands they are.
"""

import argparse
import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

from aiohttp import web

#: Limits of a command.
COMMAND_SECONDS = 60.0
MAX_OUTPUT_BYTES = 1024 * 1024

#: The exit code of a command that was killed because of a limit.
KILLED = 124


class Tools:
    """Runs commands in a folder.

    Args:
        workspace: the folder.
    """

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace

    async def run(self, request: web.Request) -> web.Response:
        """Runs a command; answers with its output."""
        output, code = await self._execute(await request.text())
        return web.Response(body=output, headers={"x-exit-code": str(code)})

    async def _execute(self, command: str) -> tuple[bytes, int]:
        read_end, write_end = os.pipe()
        with os.fdopen(write_end) as stdout:
            reader, transport = await _read(read_end)
            process = await asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                command,
                cwd=self._workspace,
                start_new_session=True,  # so that it can be killed with what it has started
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stdout,
                stderr=asyncio.subprocess.STDOUT,
            )
        output = b""
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                while len(output) <= MAX_OUTPUT_BYTES and (part := await reader.read(65536)):
                    output += part
                if len(output) <= MAX_OUTPUT_BYTES:
                    return output, await process.wait()
        except TimeoutError:
            pass
        finally:
            transport.close()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        return output[:MAX_OUTPUT_BYTES], KILLED


async def _read(file: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    """Reads a pipe of our own: `Process.wait` would wait until nothing has a pipe of the process open any more."""
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(file, "rb"))
    return reader, transport


def application(workspace: Path) -> web.Application:
    """Returns what answers requests."""
    app = web.Application()
    app.add_routes([web.post("/", Tools(workspace).run)])
    return app


def main(socket: Path, workspace: Path) -> None:
    """Serves until SIGTERM."""
    os.umask(0o007)  # the server, which has another user, connects by the group of the volume
    socket.unlink(missing_ok=True)  # of an earlier container
    web.run_app(application(workspace), path=str(socket), print=None)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="The tools of a sandbox.")
    options.add_argument("--socket", type=Path, default=Path("/run/tools/socket"))
    options.add_argument("--workspace", type=Path, default=Path("/workspace"))
    arguments = options.parse_args()
    main(arguments.socket, arguments.workspace)
