"""What a look-up costs: of a driver that has all links in its cache, and of the resolver."""

import gc
import random
import tempfile
import time
from pathlib import Path

from measuring.bench_service import NAMESPACE, ROUTE, BenchService
from measuring.load_generator import FAILED, LoadGenerator, free_port, make_reachable, running_resolver
from statefulroute import ClientDriver
from statefulroute.cluster.client import Client

_GETS = 20_000
_LOOKUPS_PER_SECOND, _SECONDS = 2_000, 5.0


async def microseconds_to_get(service: BenchService, links: int) -> float:
    """The time that a driver takes for a user whom it has in its cache."""
    chance = random.Random(links)
    uids = [f"user-{chance.randrange(links)}" for _ in range(_GETS)]
    async with Client(service.connection) as client, ClientDriver(client, NAMESPACE) as driver:
        gc.collect()
        begun = time.perf_counter()
        for uid in uids:
            await driver.get_linked_pod(uid, ROUTE)
        return (time.perf_counter() - begun) / _GETS * 1e6


async def microseconds_to_look_up(service: BenchService, links: int) -> float:
    """The CPU time that a resolver takes for a user, at an even rate."""
    await make_reachable(service)
    port = free_port()
    async with running_resolver(service.kubeconfig, port, free_port()) as process:
        with tempfile.TemporaryDirectory() as folder:
            pressure = LoadGenerator(Path(folder), _SECONDS, links)
            targets = pressure.lookup_targets(f"http://127.0.0.1:{port}")
            await process.wait_idle()
            before = process.cpu_seconds
            found = await pressure.run_at_rate("look-ups", _LOOKUPS_PER_SECOND, targets)
        if found[FAILED]:
            raise SystemExit(f"not every user was found: {pressure.codes}")
        return (process.cpu_seconds - before) / pressure.codes["look-ups"].total() * 1e6
