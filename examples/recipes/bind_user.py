"""Prints the pod of a user and its address, and binds a new user to the best pod: `python bind_user.py alice`."""

import asyncio
import sys

from statefulroute import ClientDriver


async def main(uid: str) -> None:
    """Looks up the user in the route `game` of the namespace `play`."""
    async with await ClientDriver.connect("play", services=["game"]) as client:
        address = await client.bind(uid, "game")
        print(f"{uid}: {address.pod}, {address.host}:{address.port}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
