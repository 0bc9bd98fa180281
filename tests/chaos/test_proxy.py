"""Tests the fault proxy between an independent client and a real API server."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from chaos.proxy import FaultProxy
from localcluster import LocalCluster
from support.api_user import APIUser
from support.kubectl import Kubectl
from support.waiting import eventually

SECONDS = 10
"""A time limit for immediate responses, even on a busy machine."""


class Client:
    """Sends requests about ConfigMaps, as the proxy's kubeconfig describes."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        self.cluster = config["clusters"][0]["cluster"]
        self.token_file = config["users"][0]["user"].get("tokenFile")
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"
        self.session = requests.Session()
        self.session.trust_env = False

    def request(self, method: str, path: str = "", **options: Any) -> requests.Response:
        if self.token_file:
            self.session.headers["Authorization"] = f"Bearer {Path(self.token_file).read_text()}"
        self.session.verify = self.cluster["certificate-authority"]
        return self.session.request(method, f"{self.cluster['server']}{self._path}{path}", timeout=SECONDS, **options)

    def codes(self, times: int) -> list[int]:
        return [self.request("GET").status_code for _ in range(times)]

    def create(self, name: str) -> requests.Response:
        return self.request("POST", json={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})

    def watch(self) -> Iterator[dict[str, Any]]:
        """Starts a watch and returns its events."""
        response = self.request("GET", "?watch=true", stream=True)
        assert response.ok, response.text
        return map(json.loads, response.iter_lines(chunk_size=None))


@pytest.fixture
def proxy(cluster: LocalCluster, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(cluster.kubeconfig, tmp_path / "proxy") as proxy:
        yield proxy


@pytest.fixture
def client(new_client: Callable[[], Client]) -> Client:
    return new_client()


@pytest.fixture
def new_client(proxy: FaultProxy, namespace: str) -> Callable[[], Client]:
    """Creates clients, each with its own connection."""
    return lambda: Client(proxy.kubeconfig, namespace)


@pytest.fixture
def names(here: Kubectl) -> Any:
    """Returns the names of the ConfigMaps, read without the proxy."""
    return lambda: {each["metadata"]["name"] for each in here.get_json("configmaps")["items"]}


def next_name(events: Iterator[dict[str, Any]], name: str) -> None:
    """Reads events until one is about an object of this name."""
    for event in events:
        if event["object"]["metadata"]["name"] == name:
            return
    raise AssertionError("the watch ended")


def test_healed_proxy_forwards_everything(proxy: FaultProxy, client: Client, here: Kubectl) -> None:
    events = client.watch()
    assert client.create("by-proxy").status_code == 201
    next_name(events, "by-proxy")
    here.run("create", "configmap", "by-another").expect_success()
    next_name(events, "by-another")  # during the watch: events are not held back
    assert proxy.hits == 0


def test_slow_proxy_delays_each_request(proxy: FaultProxy, client: Client) -> None:
    proxy.slow(0.5)
    start = time.monotonic()
    assert client.codes(2) == [200, 200]
    assert time.monotonic() - start >= 1.0
    assert proxy.hits == 2


@pytest.mark.parametrize("code", [500, 504])
def test_failed_write_is_not_forwarded(proxy: FaultProxy, client: Client, names: Any, code: int) -> None:
    proxy.fail(code)
    assert client.create("refused").status_code == code
    proxy.heal()
    assert client.create("accepted").status_code == 201
    assert names() & {"refused", "accepted"} == {"accepted"}


def test_too_many_requests_has_a_retry_after_header(proxy: FaultProxy, client: Client) -> None:
    proxy.too_many_requests(3)
    answer = client.request("GET")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")
    assert answer.json()["reason"] == "TooManyRequests"


def test_fault_affects_a_share_of_the_requests(proxy: FaultProxy, client: Client) -> None:
    proxy.fail(500, share=0.5)
    assert set(client.codes(30)) == {200, 500}
    assert 0 < proxy.hits < 30


def test_time_out_afterwards_forwards_the_write(proxy: FaultProxy, client: Client, names: Any) -> None:
    proxy.time_out_afterwards()
    assert client.create("uncertain").status_code == 504
    assert client.request("GET").status_code == 200
    assert "uncertain" in names()


def test_present_and_new_watches_are_cut_during_an_event(proxy: FaultProxy, client: Client) -> None:
    running = client.watch()
    next(running)  # the proxy knows the watch
    proxy.drop_watches()
    for events in (running, client.watch()):
        with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
            list(events)
    assert client.request("GET").status_code == 200


def test_held_watches_get_their_events_at_the_end(proxy: FaultProxy, client: Client, here: Kubectl) -> None:
    running = client.watch()
    next(running)
    proxy.hold_watches()
    here.run("create", "configmap", "held-back").expect_success()
    eventually(lambda: proxy.hits == 1, "the event is held back")
    assert client.request("GET").status_code == 200
    proxy.heal()
    next_name(running, "held-back")


def test_new_watch_gets_an_expired_error(proxy: FaultProxy, client: Client) -> None:
    proxy.expire_watches()
    answer = client.request("GET", "?watch=true")
    assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")
    assert client.request("GET", "?limit=1&continue=x").status_code == 410
    assert client.request("GET").status_code == 200


@pytest.mark.parametrize(("code", "reason"), [(410, "Expired"), (429, "TooManyRequests"), (500, "InternalError")])
def test_running_watch_gets_an_error_event(proxy: FaultProxy, client: Client, code: int, reason: str) -> None:
    running = client.watch()
    next(running)
    proxy.fail_watches(code)
    for events in (running, client.watch()):
        *_, last = events
        assert (last["type"], last["object"]["code"], last["object"]["reason"]) == ("ERROR", code, reason)


def test_half_open_connection_gets_no_response_and_is_not_closed(proxy: FaultProxy, client: Client) -> None:
    assert client.codes(1) == [200]
    proxy.half_open()
    for _ in range(2):  # on the existing connection and on a new one
        with pytest.raises(requests.exceptions.Timeout):
            client.session.get(
                f"{client.cluster['server']}/version", verify=client.cluster["certificate-authority"], timeout=1
            )
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=1) as waiting:
        proxy.heal()
        with pytest.raises(TimeoutError):
            waiting.recv(1)  # the client received no notice
    assert client.codes(1) == [200]


def test_connections_are_refused_until_the_proxy_is_healed(proxy: FaultProxy, client: Client) -> None:
    events = client.watch()
    next(events)
    proxy.refuse()
    with pytest.raises(requests.exceptions.RequestException):
        list(events)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=SECONDS)
    proxy.heal()
    assert client.codes(1) == [200]


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_date_of_responses_and_watches_is_skewed(proxy: FaultProxy, client: Client, seconds: int) -> None:
    proxy.skew_date(seconds)
    for answer in (client.request("GET"), client.request("GET", "?watch=true", stream=True)):
        date = parsedate_to_datetime(answer.headers["Date"]).timestamp()
        assert date - time.time() == pytest.approx(seconds, abs=SECONDS)
    assert proxy.hits == 2
    proxy.heal()
    date = parsedate_to_datetime(client.request("GET").headers["Date"]).timestamp()
    assert date == pytest.approx(time.time(), abs=SECONDS)


def test_new_client_is_served_after_others_were_cut_during_their_handshake(
    proxy: FaultProxy, new_client: Callable[[], Client]
) -> None:
    for _ in range(3):
        silent = [socket.create_connection(("127.0.0.1", proxy.port), SECONDS) for _ in range(20)]
        assert new_client().codes(1) == [200]  # the connections above were accepted first
        proxy.refuse()
        proxy.heal()
        assert [new_client().codes(1) for _ in range(20)] == [[200]] * 20
        for each in silent:
            with each, suppress(ConnectionResetError):
                assert each.recv(1) == b""


def test_client_that_rereads_its_file_trusts_the_new_authority(proxy: FaultProxy, client: Client) -> None:
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


def test_only_the_last_token_is_accepted(cluster: LocalCluster, namespace: str, here: Kubectl, tmp_path: Path) -> None:
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
