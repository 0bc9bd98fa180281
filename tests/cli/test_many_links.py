"""`links` with many links: it prints the first row at once, and holds one page in memory."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
import pytest

from localcluster import LocalCluster
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from support.command import Command
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.objects import pod_link
from support.scale import scaled

NUMBER = scaled(daily=1_200, full=100_000)

MAX_BYTES = 150 * 2**20

_CLIENTS = 32


@pytest.fixture(scope="module")
def crowded(cluster: LocalCluster, installed: Kubectl) -> Iterator[Command]:
    """`kubectl statefulroute` in a namespace with many links."""
    with fresh_namespace(installed) as namespace:
        asyncio.run(_create_links(cluster, namespace))
        yield Command(cluster.kubeconfig, namespace)


async def _create_links(cluster: LocalCluster, namespace: str) -> None:
    numbers = iter(range(NUMBER))
    async with connect(cluster.kubeconfig) as connection, Client(connection, _CLIENTS) as client:

        async def create() -> None:
            for number in numbers:
                link = pod_link(uid=f"user-{number:06}", podIndex=number % 10)
                path = f"/apis/statefulroute.io/v1alpha1/namespaces/{namespace}/podlinks"
                await client.post(path, msgspec.json.encode(link))

        await asyncio.gather(*(create() for _ in range(_CLIENTS)))


#: Runs a command and prints its CPU seconds and its peak memory. A direct child of the tests would count their memory,
#: which it has until it executes the command.
_MEASURE = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.timeout(1800)
def test_links_prints_the_first_row_at_once_and_holds_one_page_in_memory(crowded: Command) -> None:
    line = [sys.executable, "-c", _MEASURE, *crowded.line("links", "--no-headers")]
    start = time.monotonic()
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=crowded.environment
    ) as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        first = listing.stdout.readline()
        first_seconds = time.monotonic() - start
        rows = 1 + sum(1 for _ in listing.stdout)
        all_seconds = time.monotonic() - start
        cpu_seconds, peak = map(float, listing.stderr.read().split())
    peak *= 1 if sys.platform == "darwin" else 1024
    print(  # noqa: T201 - shown with pytest -s
        f"\n{rows} links: the first row after {first_seconds:.2f} s, all after {all_seconds:.2f} s, "
        f"{cpu_seconds:.2f} s of CPU, {peak / 2**20:.0f} MiB at most"
    )
    assert (listing.returncode, rows) == (0, NUMBER)
    assert first.split()[:3] == ["game", "user-000000", "#0"]
    assert peak < MAX_BYTES


@pytest.mark.parametrize(
    ("options", "expected"),
    [("--uid user-000123", 1), ("game --uid user-000123", 1), ("--pod 3", NUMBER // 10)],
)
def test_links_are_selected_by_the_api_server(crowded: Command, options: str, expected: int) -> None:
    result = crowded.run_quickly("links", *options.split(), "-o", "name").expect_success()
    assert len(result.stdout.splitlines()) == expected


def test_links_exits_quietly_if_the_pipe_is_closed(crowded: Command) -> None:
    line = f"{' '.join(crowded.line('links'))} | head -1"
    done = subprocess.run(
        ["/bin/sh", "-c", line], env=crowded.environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["ROUTE", "UID", "POD", "PHASE", "REASON", "AGE"]
