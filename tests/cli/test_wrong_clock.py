"""Commands while the clock of the API server is wrong."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chaos.proxy import FaultProxy
from localcluster import LocalCluster
from support.command import Command
from support.service import Service

HOUR, TTL = 3600, 600


@pytest.fixture
def proxy(cluster: LocalCluster, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(cluster.kubeconfig, tmp_path / "proxy") as proxy:
        yield proxy


@pytest.mark.parametrize(("seconds", "direction"), [(HOUR, "behind"), (-HOUR, "ahead of")])
def test_command_finds_a_temporary_link_and_warns_on_the_standard_error(
    proxy: FaultProxy, game: Service, uid: str, seconds: int, direction: str
) -> None:
    game.link(uid, podIndex=1, ttlSeconds=TTL, renewTime=datetime.now(UTC).isoformat())
    proxy.skew_date(seconds)
    result = Command(proxy.kubeconfig, game.namespace).run("whereis", uid, "-o", "json").expect_success()
    assert [link["spec"]["uid"] for link in json.loads(result.stdout)["items"]] == [uid]
    assert result.stderr.startswith("warning: the clock of this machine is 3,")
    assert f" s {direction} the API server's: temporary links end when they have ended by both" in result.stderr


def test_link_that_a_command_makes_temporary_lives_for_its_time(proxy: FaultProxy, game: Service, uid: str) -> None:
    game.link(uid, podIndex=1)
    proxy.skew_date(-HOUR)
    arguments = ("link", "game", uid, "1", "--ttl", "600")
    before = datetime.now(UTC)
    Command(proxy.kubeconfig, game.namespace).run(*arguments).expect_success()
    renewed = datetime.fromisoformat(game.get(f"game.{uid}")["spec"]["renewTime"])
    assert renewed >= before - timedelta(seconds=1)
