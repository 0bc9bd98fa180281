"""The fault proxy, between a client that shares nothing with the product and a real API server."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from chaos.proxy import FaultProxy
from localcluster import LocalCluster
from support.api_user import APIUser
from support.kubectl import Kubectl

SECONDS = 10
"""What is told at once is told within these, however busy the machine is."""


class Client:
    """Asks for ConfigMaps, as the kubeconfig says that is proxied."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        known = yaml.safe_load(kubeconfig.read_text())
        self.cluster = known["clusters"][0]["cluster"]
        self.token_file = known["users"][0]["user"].get("tokenFile")
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"
        self.session = requests.Session()
        self.session.trust_env = False

    def request(self, method: str, what: str = "", **more: Any) -> requests.Response:
        if self.token_file:
            self.session.headers["Authorization"] = f"Bearer {Path(self.token_file).read_text()}"
        self.session.verify = self.cluster["certificate-authority"]
        return self.session.request(method, f"{self.cluster['server']}{self._path}{what}", timeout=SECONDS, **more)

    def codes(self, times: int) -> list[int]:
        return [self.request("GET").status_code for _ in range(times)]

    def create(self, name: str) -> requests.Response:
        return self.request("POST", json={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})

    def watch(self) -> Iterator[dict[str, Any]]:
        """The events of a watch that has begun."""
        response = self.request("GET", "?watch=true", stream=True)
        assert response.ok, response.text
        return map(json.loads, response.iter_lines(chunk_size=None))


@pytest.fixture
def proxy(cluster: LocalCluster, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(cluster.kubeconfig, tmp_path / "proxy") as made:
        yield made


@pytest.fixture
def client(new_client: Callable[[], Client]) -> Client:
    return new_client()


@pytest.fixture
def new_client(proxy: FaultProxy, namespace: str) -> Callable[[], Client]:
    """Makes clients, each with a connection of its own."""
    return lambda: Client(proxy.kubeconfig, namespace)


@pytest.fixture
def names(here: Kubectl) -> Any:
    """What is there of ConfigMaps, as somebody sees it who does not go through the proxy."""
    return lambda: {each["metadata"]["name"] for each in here.get_json("configmaps")["items"]}


def next_name(events: Iterator[dict[str, Any]], name: str) -> None:
    """Read events until one is about an object of this name."""
    for event in events:
        if event["object"]["metadata"]["name"] == name:
            return
    raise AssertionError("the watch has ended")


def test_a_healed_proxy_passes_everything_on(proxy: FaultProxy, client: Client, here: Kubectl) -> None:
    events = client.watch()
    assert client.create("by-proxy").status_code == 201
    next_name(events, "by-proxy")
    here.run("create", "configmap", "by-another").expect_success()
    next_name(events, "by-another")  # while the watch goes on: it is not held back
    assert proxy.hits == 0


def test_a_slow_proxy_delays_each_request(proxy: FaultProxy, client: Client) -> None:
    proxy.slow(0.5)
    began = time.monotonic()
    assert client.codes(2) == [200, 200]
    assert time.monotonic() - began >= 1.0
    assert proxy.hits == 2


@pytest.mark.parametrize("code", [500, 504])
def test_a_refused_write_is_not_carried_out(proxy: FaultProxy, client: Client, names: Any, code: int) -> None:
    proxy.fail(code)
    assert client.create("refused").status_code == code
    proxy.heal()
    assert client.create("accepted").status_code == 201
    assert names() & {"refused", "accepted"} == {"accepted"}


def test_too_many_requests_say_when_to_ask_again(proxy: FaultProxy, client: Client) -> None:
    proxy.too_many_requests(3)
    answer = client.request("GET")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")
    assert answer.json()["reason"] == "TooManyRequests"


def test_a_share_of_the_requests_meets_the_fault(proxy: FaultProxy, client: Client) -> None:
    proxy.fail(500, share=0.5)
    assert set(client.codes(30)) == {200, 500}
    assert 0 < proxy.hits < 30


def test_a_write_that_is_answered_with_a_time_out_afterwards_was_carried_out(
    proxy: FaultProxy, client: Client, names: Any
) -> None:
    proxy.time_out_afterwards()
    assert client.create("unsure").status_code == 504
    assert client.request("GET").status_code == 200
    assert "unsure" in names()


def test_watches_are_cut_in_the_middle_those_that_run_and_new_ones(proxy: FaultProxy, client: Client) -> None:
    running = client.watch()
    next(running)  # it is known to the proxy
    proxy.drop_watches()
    for events in (running, client.watch()):
        with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
            list(events)
    assert client.request("GET").status_code == 200


def test_a_new_watch_is_told_that_its_version_is_too_old(proxy: FaultProxy, client: Client) -> None:
    proxy.expire_watches()
    answer = client.request("GET", "?watch=true")
    assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")
    assert client.request("GET", "?limit=1&continue=x").status_code == 410
    assert client.request("GET").status_code == 200


def test_a_running_watch_is_told_in_an_event_that_its_version_is_too_old(proxy: FaultProxy, client: Client) -> None:
    running = client.watch()
    next(running)
    proxy.expire_watches(as_event=True)
    for events in (running, client.watch()):
        *_, last = events
        assert (last["type"], last["object"]["code"], last["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_a_half_open_connection_gets_no_answer_and_no_end(proxy: FaultProxy, client: Client) -> None:
    assert client.codes(1) == [200]
    proxy.half_open()
    for _ in range(2):  # by the connection that is there, and by a new one
        with pytest.raises(requests.exceptions.Timeout):
            client.session.get(
                f"{client.cluster['server']}/version", verify=client.cluster["certificate-authority"], timeout=1
            )
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=1) as waiting:
        proxy.heal()
        with pytest.raises(TimeoutError):
            waiting.recv(1)  # nobody has told it
    assert client.codes(1) == [200]


def test_connections_are_refused_until_it_is_healed(proxy: FaultProxy, client: Client) -> None:
    events = client.watch()
    next(events)
    proxy.refuse()
    with pytest.raises(requests.exceptions.RequestException):
        list(events)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=SECONDS)
    proxy.heal()
    assert client.codes(1) == [200]


def test_who_comes_after_those_that_were_cut_before_they_had_greeted_is_served(
    proxy: FaultProxy, new_client: Callable[[], Client]
) -> None:
    for _ in range(3):
        silent = [socket.create_connection(("127.0.0.1", proxy.port), SECONDS) for _ in range(20)]
        assert new_client().codes(1) == [200]  # by now they were accepted, for they came first
        proxy.refuse()
        proxy.heal()
        assert [new_client().codes(1) for _ in range(20)] == [[200]] * 20
        for each in silent:
            with each, suppress(ConnectionResetError):
                assert each.recv(1) == b""


def test_another_authority_is_trusted_by_who_reads_its_file_again(proxy: FaultProxy, client: Client) -> None:
    trusted = Path(client.cluster["certificate-authority"])
    before = trusted.read_bytes()
    assert client.codes(1) == [200]
    proxy.rotate_authority()
    assert trusted.read_bytes() != before
    assert client.codes(1) == [200]
    trusted.write_bytes(before)
    client.session.close()
    with pytest.raises(requests.exceptions.SSLError):
        client.request("GET")


def test_only_the_token_that_was_given_last_is_let_in(
    cluster: LocalCluster, namespace: str, here: Kubectl, tmp_path: Path
) -> None:
    administrator = APIUser.of(cluster.kubeconfig, namespace)
    here.run(
        "create", "rolebinding", "all", "--clusterrole=admin", f"--serviceaccount={namespace}:default"
    ).expect_success()
    kubeconfig = administrator.as_account("default").write_kubeconfig(tmp_path / "account")
    other = administrator.as_account("default").write_kubeconfig(tmp_path / "other")
    with FaultProxy(kubeconfig, tmp_path / "proxy") as proxy:
        client = Client(proxy.kubeconfig, namespace)
        assert client.codes(1) == [200]
        old = Path(client.token_file).read_text()
        proxy.rotate_token(yaml.safe_load(other.read_text())["users"][0]["user"]["token"])
        assert client.codes(1) == [200]
        Path(client.token_file).write_text(old)
        assert client.codes(1) == [401]
        assert Client(proxy.rewrite(kubeconfig), namespace).codes(1) == [200]
