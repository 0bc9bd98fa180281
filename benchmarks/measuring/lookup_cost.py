"""Measures what a look-up costs a driver with all links in its cache, and the resolver."""

import gc
import random
import tempfile
import time
from pathlib import Path

from localcluster.ports import free_port
from measuring.bench_service import NAMESPACE, ROUTE, BenchService
from measuring.load_generator import FAILED, LoadGenerator, make_reachable, running_resolver
from statefulroute import ClientDriver
from statefulroute.cluster.client import Client

_GETS = 20_000
_LOOKUPS_PER_SECOND, _SECONDS = 2_000, 5.0


async def microseconds_to_get(service: BenchService, links: int) -> float:
    """Returns the time that a driver takes for a user in its cache."""
    random_numbers = random.Random(links)
    uids = [f"user-{random_numbers.randrange(links)}" for _ in range(_GETS)]
    async with Client(service.connection) as client, ClientDriver(client, NAMESPACE) as driver:
        gc.collect()
        started = time.perf_counter()
        for uid in uids:
            await driver.get_linked_pod(uid, ROUTE)
        return (time.perf_counter() - started) / _GETS * 1e6


async def microseconds_to_look_up(service: BenchService, links: int) -> float:
    """Returns the CPU time that a resolver takes for a user, at a fixed rate."""
    await make_reachable(service)
    port = free_port()
    async with running_resolver(service.kubeconfig, port, free_port()) as process:
        with tempfile.TemporaryDirectory() as folder:
            generator = LoadGenerator(Path(folder), _SECONDS, links)
            targets = generator.lookup_targets(f"http://127.0.0.1:{port}")
            await process.wait_idle()
            before = process.cpu_seconds
            figures = await generator.run_at_rate("look-ups", _LOOKUPS_PER_SECOND, targets)
        if figures[FAILED]:
            raise SystemExit(f"not every user was found: {generator.codes}")
        return (process.cpu_seconds - before) / generator.codes["look-ups"].total() * 1e6
