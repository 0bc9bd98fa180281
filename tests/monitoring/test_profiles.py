"""Profiles of an operator that works, as they are read through `kubectl port-forward`, and who can read them."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from localcluster import LocalCluster
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.metrics import ANY_PORT, MonitoredOperator, http_get
from support.namespaces import fresh_namespace
from support.operator_process import OperatorSlot
from support.resolver_process import ResolverProcess
from support.service import Service
from support.waiting import eventually

SERVING = "serving profiles"
ON_LOOPBACK = ("--profiling-address", "127.0.0.1:0")


def listening(pid: int) -> set[str]:
    """Returns the addresses at which a process listens, as HOST:PORT of IPv4 in Linux' hexadecimal form."""
    inodes = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it is closed by now
            inodes.add(str(file.readlink()))
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}


def own_addresses() -> Iterator[str]:
    """Yields an address of this machine that is not of loopback, as that of a pod, unless it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return
        yield probe.getsockname()[0]


@pytest.fixture(scope="module")
def profiled(
    runs_pods: None, installed: Kubectl, operator_slot: OperatorSlot
) -> Iterator[tuple[MonitoredOperator, str]]:
    """An operator that serves profiles, and where."""
    del runs_pods, installed
    with operator_slot.acquire(None, *ANY_PORT, *ON_LOOPBACK) as process:
        process.start()
        (line,) = (line for line in process.lines if line["event"] == SERVING)
        yield MonitoredOperator(process), line["addresses"][0]
        process.stop()
        assert process.errors() == []


def test_profile_names_the_functions_of_an_operator_that_works(
    profiled: tuple[MonitoredOperator, str], installed: Kubectl, independent_client: IndependentClient
) -> None:
    _, address = profiled
    with fresh_namespace(installed) as namespace, ThreadPoolExecutor(1) as executor:
        service = Service(installed.within(namespace), independent_client)
        service.start()
        running = executor.submit(http_get, address, "/debug/profile?seconds=4", seconds=60)
        number = 0
        while not running.done():
            service.await_bound(service.link(f"user-{number}"))
            number += 1
        independent_client.delete_all(PodLink, namespace)
        response = running.result()
    assert (response.code, response.content_type) == (200, "application/json; charset=utf-8")
    document = json.loads(response.text)
    names = {frame["name"] for frame in document["shared"]["frames"] if "/statefulroute/" in frame["file"]}
    assert {"run_process", "LinkReconciler.reconcile"} <= names
    main = document["profiles"][0]
    assert main["name"] == "MainThread"
    assert sum(main["weights"]) == main["endValue"] > 0
    assert len(main["samples"]) == len(main["weights"])


def test_table_is_served_and_bad_requests_are_refused(profiled: tuple[MonitoredOperator, str]) -> None:
    _, address = profiled
    response = http_get(address, "/debug/profile?seconds=1&format=text")
    assert (response.code, response.text.partition(":")[0]) == (200, "statefulroute operator, 1 s")
    assert http_get(address, "/debug/profile?seconds=3600").code == 400
    assert http_get(address, "/metrics").code == 404


def test_profiles_are_served_on_loopback_only(profiled: tuple[MonitoredOperator, str]) -> None:
    operator, address = profiled
    port = int(address.rpartition(":")[2])
    assert f"0100007F:{port:04X}" in listening(operator.operator.pid)
    assert not any(each.startswith("00000000:") for each in listening(operator.operator.pid))
    for own in own_addresses():
        with pytest.raises(ConnectionRefusedError):
            http_get(f"{own}:{port}", "/debug/profile?seconds=1")
    assert http_get(operator.address, "/debug/profile?seconds=1").code == 404


def test_no_profiles_are_served_by_default(cluster: LocalCluster, installed: Kubectl, tmp_path: Path) -> None:
    del installed
    process = ResolverProcess(cluster.kubeconfig, tmp_path / "log").start()
    assert http_get(process.probes, "/debug/profile?seconds=1").code == 404
    assert SERVING not in {line["event"] for line in process.lines}
    served = {process.probes, process.lookups}
    assert listening(process.pid) == {f"0100007F:{int(each.rpartition(':')[2]):04X}" for each in served}
    process.stop()


def test_resolver_serves_profiles(cluster: LocalCluster, installed: Kubectl, tmp_path: Path) -> None:
    del installed
    process = ResolverProcess(cluster.kubeconfig, tmp_path / "log", *ON_LOOPBACK).start()
    eventually(lambda: SERVING in {line["event"] for line in process.lines}, "it serves profiles")
    (line,) = (line for line in process.lines if line["event"] == SERVING)
    response = http_get(line["addresses"][0], "/debug/profile?seconds=1&format=text")
    assert response.text.startswith("statefulroute resolver, 1 s: ")
    process.stop()
    assert process.errors() == []
