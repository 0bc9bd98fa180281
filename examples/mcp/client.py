"""A client of the notebooks, with the official SDK: opens a notebook, writes lines into it, and closes it.

python client.py http://gateway:8000/mcp one two three
python client.py --mode legacy http://gateway:8000/mcp one two three
"""

import argparse
import asyncio
from typing import Any

from mcp import Client


async def main(url: str, mode: str, lines: list[str]) -> None:
    """Writes the lines, and prints which pod has answered."""
    async with Client(url, mode=mode) as client:
        await client.list_tools()  # from which the client knows that the handle is a header, too
        notebook = (await call(client, "open_notebook"))["notebook"]
        for line in lines:
            written = await call(client, "add_line", notebook=notebook, line=line)
            print(f"{written['pod']}: line {written['number']}")
        contents = await call(client, "close_notebook", notebook=notebook)
        print(f"{contents['pod']}: {contents['lines']}")


async def call(client: Client, tool: str, **arguments: str) -> dict[str, Any]:
    """Calls a tool, and returns its answer."""
    result = await client.call_tool(tool, arguments)
    if result.is_error or result.structured_content is None:
        raise SystemExit(f"{tool}: {result.content}")
    return dict(result.structured_content)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="A client of the notebooks.")
    options.add_argument("--mode", default="auto", help="legacy: as clients before 2026-07-28")
    options.add_argument("url")
    options.add_argument("lines", nargs="*")
    arguments = options.parse_args()
    asyncio.run(main(arguments.url, arguments.mode, arguments.lines))
