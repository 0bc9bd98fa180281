"""Measures the removal of expired links."""

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
    """Binds temporary links and waits until they have expired and are removed.

    Args:
        service: the service whose links are created.
        users: the numbers of the users.
        rate: how many links expire per second.
        bind_rate: how many links the operator certainly binds per second: the first expires after all are bound.
    """
    recorder, links = service.recorder, len(users)
    recorder.reset()
    first = time.time() + links / bind_rate + _LEAD_SECONDS
    first_renewal = datetime.fromtimestamp(first, UTC) - timedelta(seconds=_TTL_SECONDS)

    async def create(number: int) -> None:
        renewal = (first_renewal + timedelta(seconds=(number - users.start) / rate)).isoformat(timespec="milliseconds")
        times = {"ttlSeconds": _TTL_SECONDS, "renewTime": renewal.replace("+00:00", "000Z")}
        await service.create_link(f"user-{number}", number % service.pods, **times)

    async with running_operator(service.kubeconfig) as process:
        await run_concurrently(create, users)
        await recorder.wait_until(lambda: not recorder.unbound)
        await process.wait_idle()
        if (lead := first - time.time()) < 0:
            raise SystemExit(f"the first link expired {-lead:.0f} s before the last was bound: use a lower --making")
        await asyncio.sleep(lead)
        before = process.cpu_seconds
        await recorder.wait_until(lambda: len(recorder.removed_links) >= links)
        await process.wait_idle()
        cost = (process.cpu_seconds - before) * 1000 / links
    delays = sorted(
        removed_at - link.expire_time.timestamp()
        for link, removed_at in recorder.removed_links
        if link.expire_time is not None
    )
    return {REMOVAL_CPU: cost, LATE_P50: quantile(delays, 0.5), LATE_P99: quantile(delays, 0.99), LATEST: delays[-1]}
