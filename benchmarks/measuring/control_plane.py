"""What the API server and etcd spend: CPU time, memory, storage."""

import asyncio
import os
import re
from dataclasses import dataclass

from localcluster import LocalCluster
from measuring.processes import Usage
from measuring.rounds import Figures
from statefulroute.cluster.client import Client

APISERVER, ETCD = "apiserver", "etcd"
_MIB = 2**20
_STORED = re.compile(r"^apiserver_storage_size_bytes\{.*\} (\S+)$", re.MULTILINE)
_LIVE = re.compile(r"^go_memstats_heap_alloc_bytes (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class CpuTime:
    """CPU seconds since they were started."""

    apiserver: float
    etcd: float

    def milliseconds_per_operation(self, before: "CpuTime", times: int) -> tuple[float, float]:
        """The milliseconds that each has spent since then on one of so many."""
        return (self.apiserver - before.apiserver) * 1000 / times, (self.etcd - before.etcd) * 1000 / times


class ControlPlane:
    """The API server and etcd of a cluster of this process.

    Args:
        client: how to ask the API server for its metrics.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        cluster = LocalCluster.attach(f"bench-{os.getpid()}")
        self._apiserver, self._etcd = (Usage(cluster.part(name).pid) for name in (APISERVER, ETCD))

    def cpu_time(self) -> CpuTime:
        """The CPU time until now."""
        return CpuTime(self._apiserver.cpu_seconds, self._etcd.cpu_seconds)

    async def wait_idle(self, share: float = 0.3) -> None:
        """Wait until both do less than this share of a core: what they do a while after a write is over."""
        while True:
            before = self.cpu_time()
            await asyncio.sleep(1)
            if sum(self.cpu_time().milliseconds_per_operation(before, 1000)) < share:
                return

    async def resource_usage(self) -> Figures:
        """The MiB that both hold: resident, alive on the API server's heap after a collection, and stored by etcd."""
        await self._client.get("/debug/pprof/heap", {"gc": "1"})
        metrics = (await self._client.get("/metrics")).decode()
        return {
            "apiserver live": _metric(_LIVE, metrics) / _MIB,
            "apiserver resident": self._apiserver.mebibytes[0],
            "etcd resident": self._etcd.mebibytes[0],
            "stored": _metric(_STORED, metrics) / _MIB,
        }


def _metric(pattern: re.Pattern[str], metrics: str) -> float:
    found = pattern.search(metrics)
    if found is None:
        raise SystemExit(f"the API server's metrics have no {pattern.pattern}")
    return float(found[1])
