"""Tests that drivers name the mistake if one string is given for several."""

from pathlib import Path
from typing import Any

import pytest

from statefulroute import ClientDriver, InvalidParameterError, sync
from statefulroute.cluster.client import Client
from statefulroute.driver import client as client_module
from statefulroute.testing import InMemoryCluster

HERE = "play"

KUBECONFIG = """
clusters: [{name: here, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: me, user: {token: mine}}]
contexts: [{name: it, context: {cluster: here, user: me}}]
current-context: it
"""


@pytest.fixture
def cluster() -> InMemoryCluster:
    cluster = InMemoryCluster(HERE)
    cluster.add_service("game", pods=1)
    return cluster


@pytest.mark.parametrize(("services", "type_name"), [("game", "str"), (b"game", "bytes"), (7, "int")])
def test_services_are_several_strings(cluster: InMemoryCluster, services: Any, type_name: str) -> None:
    with pytest.raises(InvalidParameterError) as refused:
        cluster.client_driver(services=services)
    assert str(refused.value) == f"services must be a list of strings, not {type_name}"
    with pytest.raises(InvalidParameterError, match=r"^services must be a list of strings"):
        sync.ClientDriver.connect(HERE, services=services)


@pytest.mark.parametrize("service", ["Game", "", None])
def test_services_are_names_of_routes(cluster: InMemoryCluster, service: Any) -> None:
    with pytest.raises(InvalidParameterError, match=r"^route must be a "):
        cluster.client_driver(services=["game", service])


async def test_arguments_are_several_strings(cluster: InMemoryCluster) -> None:
    server = cluster.server_driver("game", 0)
    async with cluster.client_driver() as client:
        for field, call in (
            ("among", client.links_of("alice", "game")),
            ("uids", client.batch_get("alice", "game")),
            ("among", server.links_of(HERE, "alice", "game")),
        ):
            with pytest.raises(InvalidParameterError) as refused:
                await call
            assert str(refused.value) == f"{field} must be a list of strings, not str"


async def test_connect_closes_its_connection_if_a_parameter_is_invalid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    class Recorded(Client):
        async def __aenter__(self) -> Any:
            events.append("open")
            return await super().__aenter__()

        async def __aexit__(self, *arguments: object) -> None:
            events.append("closed")
            await super().__aexit__(*arguments)

    monkeypatch.setattr(client_module, "Client", Recorded)
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(KUBECONFIG)
    with pytest.raises(InvalidParameterError, match=r"^logger must be"):
        await ClientDriver.connect(HERE, kubeconfig=kubeconfig, logger="chat")  # type: ignore[arg-type]
    assert events == ["open", "closed"]
    driver = await ClientDriver.connect(HERE, kubeconfig=kubeconfig)
    assert events[2:] == ["open"]
    await driver.close()
    assert events[2:] == ["open", "closed"]
