"""Temporary links end."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from measuring.bench_service import BenchService, run_concurrently
from measuring.processes import running_operator
from measuring.rounds import Figures, quantile

REMOVAL_CPU, LATE_P50, LATE_P99, LATEST = "CPU ms a removal", "late by, p50 s", "p99 s", "at most, s"
_TTL_SECONDS = 3600
_LEAD_SECONDS = 10.0


async def expire(service: BenchService, users: range, rate: float, bind_rate: float) -> Figures:
    """Bind temporary links, and see them end.

    Args:
        service: where.
        users: whose links.
        rate: how many end in a second.
        bind_rate: how many are surely bound in a second: the first ends when all were.
    """
    journal, links = service.recorder, len(users)
    journal.reset()
    first = time.time() + links / bind_rate + _LEAD_SECONDS
    renewed = datetime.fromtimestamp(first, UTC) - timedelta(seconds=_TTL_SECONDS)

    async def come(number: int) -> None:
        renewal = (renewed + timedelta(seconds=(number - users.start) / rate)).isoformat(timespec="milliseconds")
        times = {"ttlSeconds": _TTL_SECONDS, "renewTime": renewal.replace("+00:00", "000Z")}
        await service.create_link(f"user-{number}", number % service.pods, **times)

    async with running_operator(service.kubeconfig) as process:
        await run_concurrently(come, users)
        await journal.wait_until(lambda: not journal.unbound)
        await process.wait_idle()
        if (early := first - time.time()) < 0:
            raise SystemExit(f"the first link ended {-early:.0f} s before the last was bound: say a lower --making")
        await asyncio.sleep(early)
        before = process.cpu_seconds
        await journal.wait_until(lambda: len(journal.removed_links) >= links)
        await process.wait_idle()
        cost = (process.cpu_seconds - before) * 1000 / links
    late = sorted(
        seen - link.expire_time.timestamp() for link, seen in journal.removed_links if link.expire_time is not None
    )
    return {REMOVAL_CPU: cost, LATE_P50: quantile(late, 0.5), LATE_P99: quantile(late, 0.99), LATEST: late[-1]}
