"""Tests drivers with the shipped Roles, and without any."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from driver.recording import RecordingLogger
from localcluster import LocalCluster
from resolver.stub_service import StubService
from statefulroute import ClientDriver, Configuration, ErrorCode, ForbiddenError, PodNotFoundError, ServerDriver
from support.api_user import APIUser
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.rbac import apply_role, create_account
from support.waiting import eventually

HOST = "game-3.games.{}.svc"


@pytest.fixture
def service(installed: Kubectl, namespace: str, independent_client: IndependentClient) -> Iterator[StubService]:
    if installed.run("get", "--raw", "/apis/rbac.authorization.k8s.io/v1").code:
        pytest.skip("this cluster has no RBAC")
    here = installed.within(namespace)
    service = StubService(independent_client, namespace)
    with ExitStack() as stack:
        stack.enter_context(create_account(here, "server", apply_role(here, "server")))
        here.run("create", "serviceaccount", "stranger").expect_success()
        service.create(0)
        service.create_pod(0, serviceAccountName="server")
        service.create_pod(3, hostname="game-3", subdomain="games")
        service.patch_route_status()
        yield service
        service.delete()


@pytest.fixture
def in_a_pod(
    cluster: LocalCluster, service: StubService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.MonkeyPatch:
    """The environment of the pod game-0 with the token of the server's account."""
    administrator = APIUser.of(cluster.kubeconfig, service.namespace)
    pod = administrator.request("GET", "pods/game-0").expect_success()
    server = administrator.as_account("server", pod)
    eventually(lambda: server.request("GET", "podlinks").code == 200, "the account has its Role")
    monkeypatch.setenv("KUBECONFIG", str(server.write_kubeconfig(tmp_path / "server")))
    monkeypatch.setenv("POD_NAME", "game-0")
    monkeypatch.setenv("POD_NAMESPACE", service.namespace)
    monkeypatch.setenv("STATEFULROUTE_NAME", "game")
    return monkeypatch


async def test_server_reads_the_links_of_its_namespace_with_its_role(
    in_a_pod: pytest.MonkeyPatch, service: StubService
) -> None:
    del in_a_pod
    here = service.namespace
    settings = Configuration(drain_seconds=0, fence_after_seconds=60)
    async with ServerDriver.from_environment(
        configuration=settings, logger=RecordingLogger(), follow_users=True
    ) as driver:
        await driver.set_linked_pod(here, "bob", "game", "game-0")
        assert driver.users() == {"bob"}
        assert await driver.read_token("bob") == driver.token("bob")
        parts = driver._parts.opened  # noqa: SLF001 - to see an error of the request for the fence
        assert parts is not None
        await parts.users._monitor._probe()  # type: ignore[union-attr] # noqa: SLF001
        assert await driver.get_linked_pod(here, "alice", "game") is None
        assert await driver.address_of(here, "alice", "game") is None
        assert await driver.links_of(here, "alice") == {}
        await driver.set_linked_pod(here, "alice", "game", 3)
        assert await driver.get_linked_pod(here, "alice", "game") == 3
        assert await driver.get_linked_pod(here, "alice", "game", fresh=True) == 3
        assert await driver.links_of(here, "alice") == await driver.links_of(here, "alice", ["game"]) == {"game": 3}
        assert await driver.links_of(here, "alice", ["chat"]) == {}
        address = await driver.address_of(here, "alice", "game")
        assert address is not None
        assert (address.pod, address.endpoint, address.host) == ("game-3", "10.9.0.4:7777", HOST.format(here))
        await driver.set_linked_pod(here, "alice", "game", 7)
        with pytest.raises(PodNotFoundError):
            await driver.address_of(here, "alice", "game")
    await asyncio.sleep(0.25)


async def test_account_without_a_role_is_forbidden_at_once(
    cluster: LocalCluster, service: StubService, tmp_path: Path, in_a_pod: pytest.MonkeyPatch
) -> None:
    stranger = APIUser.of(cluster.kubeconfig, service.namespace).as_account("stranger")
    kubeconfig = stranger.write_kubeconfig(tmp_path / "stranger")
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    driver = await ClientDriver.connect(service.namespace, kubeconfig=kubeconfig, logger=RecordingLogger())
    with pytest.raises(ForbiddenError, match=r"stranger.* cannot list .*deploy/rbac") as refused:
        await driver.__aenter__()
    assert refused.value.code is ErrorCode.FORBIDDEN
    in_a_pod.setenv("KUBECONFIG", str(kubeconfig))
    server = ServerDriver.from_environment(logger=RecordingLogger())
    for call in (server.init, server.start):
        with pytest.raises(ForbiddenError, match="deploy/rbac"):
            await call()
    assert not server.is_running
    await server.close()
    assert loop.time() - started_at < 8  # and not after the time limits of ten seconds
    await asyncio.sleep(0.25)
