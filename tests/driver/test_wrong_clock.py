"""A driver behind an API server with a wrong clock: it finds temporary links, and binds for the whole time."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chaos.proxy import FaultProxy
from localcluster import LocalCluster
from support.service import Service

HOUR, TTL = 3600, 600

#: Runs in its own process, because the clock belongs to the process.
PROGRAM = """
import asyncio, json, logging, sys
from pathlib import Path
from statefulroute import ClientDriver

logging.basicConfig(stream=sys.stdout)

async def main(kubeconfig, namespace, known, new):
    async with await ClientDriver.connect(namespace, kubeconfig=Path(kubeconfig)) as client:
        found = await client.get_linked_pod(known, "game")
        fresh = await client.get_linked_pod(known, "game", fresh=True)
        bound = await client.link_if_absent(new, "game", 2, ttl_seconds=600)
        print(json.dumps([found, fresh, bound, await client.get_linked_pod(new, "game")]))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def proxy(cluster: LocalCluster, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(cluster.kubeconfig, tmp_path / "proxy") as proxy:
        yield proxy


def run_driver(*arguments: object) -> tuple[Any, str]:
    """Runs the program; returns its answers and its log."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    *log, answers = done.stdout.splitlines()
    return json.loads(answers), "\n".join(log)


@pytest.mark.parametrize("seconds", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_driver_finds_and_binds_temporary_links(proxy: FaultProxy, game: Service, seconds: int) -> None:
    known, new = (f"{name}-{'ahead' if seconds > 0 else 'behind'}" for name in ("known", "new"))
    game.link(known, podIndex=1, ttlSeconds=TTL, renewTime=datetime.now(UTC).isoformat())
    proxy.skew_date(seconds)
    before = datetime.now(UTC)
    answers, log = run_driver(proxy.kubeconfig, game.namespace, known, new)
    assert answers == [1, 1, 2, 2]
    assert "the clocks of this process and of the API server differ" in log
    renewed = datetime.fromisoformat(game.get(f"game.{new}")["spec"]["renewTime"])
    assert renewed >= before - timedelta(seconds=1)
