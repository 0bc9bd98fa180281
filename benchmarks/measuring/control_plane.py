"""Reads what the API server and etcd use: CPU time, memory, storage."""

import asyncio
import os
import re
from contextlib import suppress
from dataclasses import dataclass

from localcluster import LocalCluster
from measuring.processes import Usage
from measuring.rounds import Figures
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import LINKS
from statefulroute.cluster.errors import ClusterError

APISERVER, ETCD = "apiserver", "etcd"
_MIB = 2**20
_STORED = re.compile(r"^apiserver_storage_size_bytes\{.*\} (\S+)$", re.MULTILINE)
_LIVE = re.compile(r"^go_memstats_heap_alloc_bytes (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class CpuTime:
    """CPU seconds since the processes started."""

    apiserver: float
    etcd: float

    def milliseconds_per_operation(self, before: "CpuTime", times: int) -> tuple[float, float]:
        """Returns the CPU milliseconds that each has used per operation since `before`."""
        return (self.apiserver - before.apiserver) * 1000 / times, (self.etcd - before.etcd) * 1000 / times


class ControlPlane:
    """The API server and etcd of this process's cluster.

    Args:
        client: a client of the API server, for its metrics.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._cluster = LocalCluster.attach(f"bench-{os.getpid()}")
        self._apiserver, self._etcd = (Usage(self._cluster.part(name).pid) for name in (APISERVER, ETCD))

    def cpu_time(self) -> CpuTime:
        """Returns the CPU time used so far."""
        return CpuTime(self._apiserver.cpu_seconds, self._etcd.cpu_seconds)

    async def restart_apiserver(self) -> None:
        """Restarts the API server and waits until it serves links: its watch cache then has no history."""
        await asyncio.to_thread(self._cluster.part(APISERVER).restart)
        await asyncio.to_thread(self._cluster.wait_ready)
        self._apiserver = Usage(self._cluster.part(APISERVER).pid)
        while True:
            with suppress(ClusterError):
                await self._client.get(LINKS.path, {"limit": "1"})
                return
            await asyncio.sleep(0.2)

    async def wait_idle(self, share: float = 0.3) -> None:
        """Waits until both use less than `share` of a core: they work on after a write returns."""
        while True:
            before = self.cpu_time()
            await asyncio.sleep(1)
            if sum(self.cpu_time().milliseconds_per_operation(before, 1000)) < share:
                return

    async def resource_usage(self) -> Figures:
        """Returns MiB of both: resident, live on the API server's heap after garbage collection, and stored by etcd."""
        await self._client.get("/debug/pprof/heap", {"gc": "1"})
        metrics = (await self._client.get("/metrics")).decode()
        return {
            "apiserver live": _metric(_LIVE, metrics) / _MIB,
            "apiserver resident": self._apiserver.mebibytes[0],
            "etcd resident": self._etcd.mebibytes[0],
            "stored": _metric(_STORED, metrics) / _MIB,
        }


def _metric(pattern: re.Pattern[str], metrics: str) -> float:
    match = pattern.search(metrics)
    if match is None:
        raise SystemExit(f"the API server's metrics do not contain {pattern.pattern}")
    return float(match[1])
