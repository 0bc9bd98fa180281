"""What a look-up costs: of a driver that has all links in its cache, and of the resolver."""

import gc
import random
import tempfile
import time
from pathlib import Path

from measuring.place import NAMESPACE, ROUTE, Place
from measuring.pressing import FAILED, Pressure, free_port, make_reachable, resolving
from statefulroute import ClientDriver
from statefulroute.cluster.client import Client

_GETS = 20_000
_LOOKUPS_PER_SECOND, _SECONDS = 2_000, 5.0


async def microseconds_to_get(here: Place, links: int) -> float:
    """The time that a driver takes for a user whom it has in its cache."""
    chance = random.Random(links)
    uids = [f"user-{chance.randrange(links)}" for _ in range(_GETS)]
    async with Client(here.connection) as client, ClientDriver(client, NAMESPACE) as driver:
        gc.collect()
        begun = time.perf_counter()
        for uid in uids:
            await driver.get_linked_pod(uid, ROUTE)
        return (time.perf_counter() - begun) / _GETS * 1e6


async def microseconds_to_look_up(here: Place, links: int) -> float:
    """The CPU time that a resolver takes for a user, at an even rate."""
    await make_reachable(here)
    port = free_port()
    async with resolving(here.kubeconfig, port, free_port()) as process:
        with tempfile.TemporaryDirectory() as folder:
            pressure = Pressure(Path(folder), _SECONDS, links)
            targets = pressure.lookups(f"http://127.0.0.1:{port}")
            await process.settled()
            before = process.cpu_seconds
            found = await pressure.evenly("look-ups", _LOOKUPS_PER_SECOND, targets)
        if found[FAILED]:
            raise SystemExit(f"not every user was found: {pressure.codes}")
        return (process.cpu_seconds - before) / pressure.codes["look-ups"].total() * 1e6
