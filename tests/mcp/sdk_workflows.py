"""The same workflows by clients of the official SDK. It runs in the environment of the SDK.

python sdk_workflows.py URL MODE NUMBER

Each client prints a line when it has opened its notebook, and adds lines to it until another pod answers. Then it
prints the handle, and the pods that have answered, each once in a row. Any error ends all of them.
"""

import asyncio
import sys
from typing import Any

from mcp import Client


async def main(url: str, mode: str, number: str) -> None:
    """Runs the workflows at the same time."""
    async with asyncio.TaskGroup() as group:
        for _ in range(int(number)):
            group.create_task(run_workflow(url, mode))


async def run_workflow(url: str, mode: str) -> None:
    """Opens a notebook, adds lines until another pod has it, and closes it."""
    async with Client(url, mode=mode) as client:
        await client.list_tools()
        pods, lines = list[str](), list[str]()
        opened = await call(client, pods, "open_notebook")
        print("open", flush=True)  # noqa: T201 - the test waits for it
        while len(pods) == 1:
            lines.append(str(len(lines)))
            written = await call(client, pods, "add_line", notebook=opened["notebook"], line=lines[-1])
            assert written["number"] == len(lines), written
            await asyncio.sleep(0.05)
        closed = await call(client, pods, "close_notebook", notebook=opened["notebook"])
        assert closed["lines"] == lines, closed
        print(opened["notebook"], *pods)  # noqa: T201 - the result


async def call(client: Client, pods: list[str], tool: str, **arguments: str) -> dict[str, Any]:
    """Calls a tool, and returns its answer."""
    result = await client.call_tool(tool, arguments)
    if result.is_error or result.structured_content is None:
        raise RuntimeError(f"{tool}: {result.content}")
    if pods[-1:] != [result.structured_content["pod"]]:
        pods.append(result.structured_content["pod"])
    return dict(result.structured_content)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
