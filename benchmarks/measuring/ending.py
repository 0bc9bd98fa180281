"""Temporary links end."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from measuring.place import Place, every
from measuring.processes import operating
from measuring.rounds import Figures, quantile

REMOVAL_CPU, LATE_P50, LATE_P99, LATEST = "CPU ms a removal", "late by, p50 s", "p99 s", "at most, s"
_TTL_SECONDS = 3600
_LEAD_SECONDS = 10.0


async def expire(place: Place, users: range, rate: float, making: float) -> Figures:
    """Bind temporary links, and see them end.

    Args:
        place: where.
        users: whose links.
        rate: how many end in a second.
        making: how many are surely bound in a second: the first ends when all were.
    """
    journal, links = place.journal, len(users)
    journal.forget()
    first = time.time() + links / making + _LEAD_SECONDS
    renewed = datetime.fromtimestamp(first, UTC) - timedelta(seconds=_TTL_SECONDS)

    async def come(number: int) -> None:
        renewal = (renewed + timedelta(seconds=(number - users.start) / rate)).isoformat(timespec="milliseconds")
        times = {"ttlSeconds": _TTL_SECONDS, "renewTime": renewal.replace("+00:00", "000Z")}
        await place.link(f"user-{number}", number % place.pods, **times)

    async with operating(place.kubeconfig) as process:
        await every(come, users)
        await journal.until(lambda: not journal.waiting)
        await process.settled()
        if (early := first - time.time()) < 0:
            raise SystemExit(f"the first link ended {-early:.0f} s before the last was bound: say a lower --making")
        await asyncio.sleep(early)
        before = process.cpu_seconds
        await journal.until(lambda: len(journal.removed) >= links)
        await process.settled()
        cost = (process.cpu_seconds - before) * 1000 / links
    late = sorted(seen - link.expire_time.timestamp() for link, seen in journal.removed if link.expire_time is not None)
    return {REMOVAL_CPU: cost, LATE_P50: quantile(late, 0.5), LATE_P99: quantile(late, 0.99), LATEST: late[-1]}
