"""The chats in Go and TypeScript: servers with a sidecar each, and clients that find their rooms by the resolver."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from localcluster import LocalCluster
from localcluster.ports import free_port
from support.chat import Accounts
from support.chat_pods import ChatGuest, ChatPod, create_service, holders, index_of, other_pod, pod_named
from support.chat_programs import ChatPrograms
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.rbac import apply_role
from support.resolver_process import ResolverProcess
from support.service import Service
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")

_numbers = count()


@dataclass
class Chat:
    """A chat of two pods in one language."""

    programs: ChatPrograms
    service: Service
    pods: Sequence[ChatPod]
    resolver: ResolverProcess
    store: Path
    guests: list[ChatGuest] = field(default_factory=list)

    def join(self) -> ChatGuest:
        """Starts a guest in a new room."""
        return self.visit(f"room-{next(_numbers)}")

    def visit(self, uid: str) -> ChatGuest:
        """Starts a guest in a room."""
        guest = ChatGuest(self.programs, uid, self.resolver.lookups, self.service.namespace)
        self.guests.append(guest)
        return guest

    def move(self, guest: ChatGuest, pod: ChatPod) -> None:
        """Moves a room to another pod, as a user does."""
        self._patch(guest, index_of(pod) | {"handOver": None})

    def hand_over(self, guest: ChatGuest, pod: ChatPod) -> None:
        """Asks for the hand-over of a room to another pod."""
        self._patch(guest, {"handOver": index_of(pod) | {"startTime": datetime.now(UTC).isoformat()}})

    def link(self, guest: ChatGuest) -> str:
        """Returns the name of the link of a guest's room."""
        return f"{self.service.name}.{guest.uid}"

    def phase(self, guest: ChatGuest) -> str:
        """Returns the phase of the link of a guest's room."""
        link = self.service.client.get(PodLink, self.link(guest), self.service.namespace)
        return str(link.get("status", {}).get("phase"))

    def _patch(self, guest: ChatGuest, spec: dict[str, Any]) -> None:
        self.service.client.patch(PodLink, self.link(guest), self.service.namespace, {"spec": spec})


@pytest.fixture(scope="module")
def service(shared_kubectl: Kubectl, independent_client: IndependentClient) -> tuple[Service, int]:
    """The service of the example with two pods, and the port of its servers."""
    service, port = Service(shared_kubectl, independent_client, "rooms"), free_port()
    apply_role(shared_kubectl, "server")
    create_service(service, port, 2)
    return service, port


@pytest.fixture(scope="module")
def resolver(
    cluster: LocalCluster, service: tuple[Service, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ResolverProcess]:
    """A resolver of the namespace."""
    log = tmp_path_factory.mktemp("resolver") / "log"
    process = ResolverProcess(cluster.kubeconfig, log, "--watch-namespace", service[0].namespace)
    yield process.start()
    process.stop()


@pytest.fixture(scope="module")
def pods(service: tuple[Service, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[ChatPod]]:
    """The pods of the chat with their sidecars, which outlive the servers."""
    folder = tmp_path_factory.mktemp("pods")
    accounts = Accounts(service[0], folder)
    hand_over_port = free_port()
    pods = [ChatPod(service[0], index, service[1], accounts, folder, hand_over_port) for index in range(2)]
    try:
        for pod in pods:
            pod.sidecar.start()
        yield pods
        for pod in pods:
            assert pod.sidecar.errors() == []
    finally:
        for pod in pods:
            if pod.sidecar.is_running:
                pod.sidecar.kill()


@pytest.fixture(scope="module")
def shared_chat(
    chat_programs: ChatPrograms,
    service: tuple[Service, int],
    pods: Sequence[ChatPod],
    resolver: ResolverProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Chat]:
    """The chat; its servers run until the end of the tests of this language, and are then stopped."""
    store = tmp_path_factory.mktemp("store")
    try:
        for pod in pods:
            pod.start_server(chat_programs, store)
        for pod in pods:
            pod.await_listening()
        yield Chat(chat_programs, service[0], pods, resolver, store)
        for pod in pods:
            pod.request_stop()
        for pod in pods:
            pod.await_end()
    finally:
        for pod in pods:
            pod.kill_server()


@pytest.fixture
def chat(shared_chat: Chat) -> Iterator[Chat]:
    """The chat without guests."""
    yield shared_chat
    for guest in shared_chat.guests:
        guest.kill()
    shared_chat.guests.clear()


def test_guest_follows_its_room_with_all_its_lines(chat: Chat) -> None:
    guest = chat.join()
    name, token = guest.await_joined()
    guest.say("one")
    pod = pod_named(chat.pods, name)
    assert holders(chat.pods, guest.uid) == [name]
    eventually(lambda: pod.annotations["load-state"] == "1", "the number of rooms is published")
    other = other_pod(chat.pods, pod)
    chat.move(guest, other)
    guest.await_line("* the room has closed: it has moved")
    joined, later = guest.await_joined()
    assert (joined, later > token) == (other.name, True)
    guest.await_line("one")
    guest.say("two")
    assert holders(chat.pods, guest.uid) == [other.name]
    assert pod.say(guest.uid, "lost") == (421, f"the room is not here: pod {index_of(other)['podIndex']} holds it")
    guest.leave()


def test_room_is_handed_over_with_the_lines_that_are_typed_meanwhile(chat: Chat) -> None:
    guest = chat.join()
    pod = pod_named(chat.pods, guest.await_joined()[0])
    other = other_pod(chat.pods, pod)
    for number in range(20):
        guest.type(f"before {number}")
    chat.service.edit_route(handOver={"timeoutSeconds": 600})  # nobody moves the room but its pod
    chat.hand_over(guest, other)
    for number in range(20):
        guest.type(f"after {number}")
    assert guest.await_joined()[0] == other.name
    guest.say("end")
    link = chat.service.await_bound(chat.link(guest))
    assert link["previous"]["reason"] == "HandedOver"
    chat.service.edit_route(handOver=None)
    lines = [line for line in guest.received if line.startswith(("before", "after"))]
    sent = [f"before {number}" for number in range(20)] + [f"after {number}" for number in range(20)]
    assert list(dict.fromkeys(lines)) == sent


def test_withdrawn_hand_over_lets_the_room_go_on(chat: Chat) -> None:
    guest = chat.join()
    pod = pod_named(chat.pods, guest.await_joined()[0])
    chat.service.edit_route(handOver={"timeoutSeconds": 600})
    pod.freeze_server()  # it does not confirm
    try:
        chat.hand_over(guest, other_pod(chat.pods, pod))
        eventually(lambda: chat.phase(guest) == "HandingOver", "the room is handed over")
        chat.move(guest, pod)  # cancels the hand-over
        eventually(lambda: chat.phase(guest) == "Bound", "the hand-over is withdrawn")
    finally:
        pod.thaw_server()
    guest.say("still here")
    assert holders(chat.pods, guest.uid) == [pod.name]
    chat.service.edit_route(handOver=None)


def test_cut_off_pod_cannot_write_to_a_room_that_has_moved(chat: Chat) -> None:
    guest = chat.join()
    pod = pod_named(chat.pods, guest.await_joined()[0])
    guest.say("one")
    pod.sidecar.freeze()  # its server does not learn of the move
    try:
        chat.move(guest, other_pod(chat.pods, pod))
        second = chat.visit(guest.uid)
        assert second.await_joined()[0] == other_pod(chat.pods, pod).name
        second.await_line("one")
        assert guest.uid in (pod.rooms() or {})  # it still has the room
        status, reason = pod.say(guest.uid, "from the past")
        assert (status, reason) == (421, "the room is not here: a later holder has opened the room")
        second.say("two")
    finally:
        pod.sidecar.thaw()
    eventually(lambda: holders(chat.pods, guest.uid) == [other_pod(chat.pods, pod).name], "it learns of the move")
    guest.await_joined()
    guest.await_line("two")
    assert "from the past" not in guest.received + second.received


def test_server_that_ends_releases_its_rooms_and_can_be_started_again(chat: Chat) -> None:
    guest = chat.join()
    pod = pod_named(chat.pods, guest.await_joined()[0])
    guest.say("one")
    pod.request_stop()
    eventually(lambda: pod.annotations["routing-state"] == "DenyNewCall", "it denies new rooms")
    assert guest.await_joined()[0] == other_pod(chat.pods, pod).name
    guest.await_line("one")
    pod.await_end()
    assert pod.sidecar.is_running
    pod.start_server(chat.programs, chat.store)
    pod.await_listening()
    eventually(lambda: pod.annotations["routing-state"] == "Ready", "it takes rooms again")
    chat.move(guest, pod)
    assert guest.await_joined()[0] == pod.name
    guest.await_line("one")


def test_lines_that_are_typed_while_no_pod_has_the_room_are_sent_later(chat: Chat) -> None:
    guest = chat.join()
    pod = pod_named(chat.pods, guest.await_joined()[0])
    chat.service.edit_route(routingState="Shutdown")  # no pod can be looked up
    try:
        pod.kill_server()
        guest.type("one")
        guest.await_line("* not now: ")
    finally:
        chat.service.edit_route(routingState=None)
    pod.start_server(chat.programs, chat.store)
    guest.await_joined()
    guest.await_line("one")


def test_rooms_without_a_store_take_their_lines_to_the_new_pod(chat: Chat) -> None:
    for pod in chat.pods:
        pod.request_stop()
    for pod in chat.pods:
        pod.await_end()
        pod.start_server(chat.programs, None)
        pod.await_listening()
    first, second = chat.join(), chat.join()  # each pod has one
    pods = [pod_named(chat.pods, guest.await_joined()[0]) for guest in (first, second)]
    chat.service.edit_route(handOver={"timeoutSeconds": 600})
    for guest in (first, second):
        guest.say("one")
    for guest, pod in zip((first, second), pods, strict=True):  # to each other
        chat.hand_over(guest, other_pod(chat.pods, pod))
        guest.type("two")
    for guest, pod in zip((first, second), pods, strict=True):
        assert guest.await_joined()[0] == other_pod(chat.pods, pod).name
        guest.await_line("one")
        guest.await_line("two")
        guest.leave()
    back = chat.visit(first.uid)
    assert back.await_joined()[0] == other_pod(chat.pods, pods[0]).name
    back.leave()
    chat.hand_over(first, pods[0])  # a room that is open without guests
    eventually(lambda: holders(chat.pods, first.uid) == [], "it has left")
    again = chat.visit(first.uid)
    assert again.await_joined()[0] == pods[0].name
    assert again.await_line("one") == "one"
    chat.service.edit_route(handOver=None)
