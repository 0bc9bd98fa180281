"""The example chat: servers at the addresses and with the rights of their pods, and a client that follows its room."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
import yaml
from pykube.objects import Pod

from localcluster.ports import free_port
from support.chat import EXAMPLE, Accounts, CloseFrame, Container, Guest, stay, visit
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.link_recorder import LinkRecorder, recording
from support.objects import encoded_name
from support.rbac import apply_role
from support.service import NOT_READY, READY, Service
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")

#: The close codes of RFC 6455's registry: the service restarts, and try again later.
SERVICE_RESTART, TRY_AGAIN_LATER = 1012, 1013

_numbers = count()


@dataclass
class Chat:
    """The unchanged example in its own namespace."""

    service: Service
    containers: Sequence[Container]
    client: Path
    guests: list[Guest] = field(default_factory=list)

    def start_guest(self, uid: str) -> Guest:
        """Starts a guest who joins the room of this uid."""
        guest = Guest(uid, self.service.namespace, self.client)
        self.guests.append(guest)
        return guest

    def join(self, name: str) -> Guest:
        """Starts a guest in a new room, and waits until the guest has joined."""
        guest = self.start_guest(f"{name}-{next(_numbers)}")
        guest.await_joined()
        return guest

    def container(self, guest: Guest) -> Container:
        """Returns the container that a guest is connected to."""
        return next(container for container in self.containers if container.pod == guest.pods[-1])

    def link(self, guest: Guest) -> str:
        """Returns the name of the link of a guest's room."""
        return f"chat.{guest.uid}"

    def holders(self, guest: Guest) -> list[str]:
        """Returns the pods that have this guest's room."""
        return [container.pod for container in self.containers if guest.uid in (container.rooms() or {})]


@pytest.fixture(scope="module")
def shared_chat(
    shared_kubectl: Kubectl, independent_client: IndependentClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chat]:
    service = Service(shared_kubectl, independent_client, "chat")
    apply_role(shared_kubectl, "server")
    apply_role(shared_kubectl, "client")
    for manifest in sorted(EXAMPLE.glob("*.yaml")):
        text = manifest.read_text(encoding="utf-8").replace("namespace: play", f"namespace: {service.namespace}")
        for item in yaml.safe_load_all(text):
            if item["kind"] != "Namespace":
                shared_kubectl.create(item)
    service.await_pods(3)
    port, folder = free_port(), tmp_path_factory.mktemp("chat")
    service.edit_route(port=port)
    accounts = Accounts(service, folder)
    containers = [Container(service, index, port, accounts, folder / f"{index}.log") for index in range(3)]
    try:
        for container in containers:
            container.start()
        for container in containers:
            container.await_listening()
        yield Chat(service, containers, accounts.of("chat-client"))
    finally:
        for container in containers:
            container.kill()


@pytest.fixture
def history(independent_client: IndependentClient, shared_chat: Chat) -> Iterator[LinkRecorder]:
    """Records every version of every link of the chat."""
    with recording(independent_client, shared_chat.service.namespace) as made:
        yield made


@pytest.fixture
def chat(shared_chat: Chat) -> Iterator[Chat]:
    """The chat; each pod serves and takes rooms. Rooms of earlier tests remain, without guests."""
    service = shared_chat.service
    for index in range(3):
        service.await_pod(index, serviceState="Ready", routingState="Ready", loadStale=None)
    yield shared_chat
    for guest in shared_chat.guests:
        guest.kill()
    shared_chat.guests.clear()
    open_rooms = {uid for container in shared_chat.containers for uid in container.rooms() or {}}
    for link in service.links():
        if link["spec"]["uid"] not in open_rooms:
            service.client.delete(PodLink, link["metadata"]["name"], service.namespace)


@contextmanager
def staying(container: Container, guest: Guest) -> Iterator["Future[CloseFrame]"]:
    """Joins a guest's room with a client that does not follow links; yields the future close frame of the room."""
    with ThreadPoolExecutor(1) as pool:
        stays = pool.submit(stay, container.address, guest.uid)
        eventually(lambda: (container.rooms() or {})[guest.uid] == 2, "two are in the room")
        yield stays


def check_guest(chat: Chat, guest: Guest, left: Container | None = None) -> None:
    """Checks that a guest is in the only room of its uid, on the link's pod, and that its lines arrive there."""
    guest.send(f"line {next(_numbers)}")
    assert guest.pods[-1] == chat.service.await_bound(chat.link(guest))["podName"]
    if left is not None:
        assert guest.pods[-1] != left.pod
    eventually(lambda: chat.holders(guest) == [guest.pods[-1]], f"only one pod has the room of {guest.uid}")


def test_three_users_join_talk_and_return_to_their_rooms_each_on_another_pod(chat: Chat) -> None:
    guests = []
    for name in ("alice", "bob", "carol"):
        guests.append(chat.join(name))
        chat.service.await_status(links=len(guests))  # the next client has to see them
    for guest in guests:
        check_guest(chat, guest)
        guest.send(f"{guest.uid} was here")
        guest.leave()
    returning = [chat.start_guest(guest.uid) for guest in guests]
    for previous, guest in zip(guests, returning, strict=True):
        guest.await_joined()
        guest.await_line(f"{guest.uid} was here")
        check_guest(chat, guest)
        assert guest.pods == previous.pods
    assert sorted(guest.pods[-1] for guest in guests) == ["chat-0", "chat-1", "chat-2"]


def test_every_other_pod_refuses_a_room_and_names_its_pod(chat: Chat) -> None:
    guest = chat.join("alice")
    container = chat.container(guest)
    for other in chat.containers:
        if other is not container:
            assert stay(other.address, guest.uid) == CloseFrame(
                TRY_AGAIN_LATER, f"pod {container.index} holds the room"
            )
    assert chat.holders(guest) == guest.pods


def test_new_room_belongs_to_the_pod_where_its_first_user_joins(chat: Chat) -> None:
    uid = f"Guest {next(_numbers)}"
    assert visit(chat.containers[2].address, uid) == f"* {uid} is at chat-2"
    assert chat.service.await_bound(encoded_name("chat", uid))["podName"] == "chat-2"
    assert stay(chat.containers[1].address, uid) == CloseFrame(TRY_AGAIN_LATER, "pod 2 holds the room")


def test_drained_pod_keeps_its_rooms_and_shut_down_pod_hands_them_over(chat: Chat, history: LinkRecorder) -> None:
    service, guest = chat.service, chat.join("alice")
    left = chat.container(guest)
    with staying(left, guest) as stays:
        service.edit_route(pods=[{"index": left.index, "routingState": "DenyNewCall"}])
        service.await_pod(left.index, routingState="DenyNewCall")
        newcomer = chat.join("bob")
        assert newcomer.pods != guest.pods
        check_guest(chat, guest)
        guest.send("this is remembered")
        service.edit_route(pods=[{"index": left.index, "routingState": "Shutdown"}])
        guest.await_joined()
        guest.await_line("this is remembered")
        check_guest(chat, guest, left)
        moved = chat.container(guest)
        assert stays.result() == CloseFrame(SERVICE_RESTART, "the room has left this pod")
    service.edit_route(pods=None)
    check_guest(chat, newcomer)
    assert (guest.pods, newcomer.pods[1:]) == ([left.pod, moved.pod], [])
    assert history.pods(chat.link(guest)) == [left.index, moved.index]


def test_terminating_pod_sends_its_rooms_to_others_first(chat: Chat, history: LinkRecorder) -> None:
    guest = chat.join("alice")
    left = chat.container(guest)
    # A server without links in the route's status exits at once, and would not have time to send its guests away.
    chat.service.await_pod(left.index, links=len(left.rooms() or {}))
    with staying(left, guest) as stays, left.ending():
        assert stays.result() == CloseFrame(SERVICE_RESTART, "this pod is about to end")
        guest.await_joined()
        check_guest(chat, guest, left)
    check_guest(chat, guest, left)
    moved = chat.container(guest)
    assert guest.pods == [left.pod, moved.pod]
    assert list(dict.fromkeys(history.pods(chat.link(guest)))) == [left.index, moved.index]


def test_killed_server_has_its_rooms_again_when_it_is_back(chat: Chat, history: LinkRecorder) -> None:
    guest = chat.join("alice")
    container = chat.container(guest)
    guest.send("all this is forgotten")
    container.kill()
    guest.await_line("* the room has closed")
    chat.service.annotate(container.index, NOT_READY)
    guest.await_line(f"* not now: the pod '{container.pod}' of the service 'chat' does not serve users now")
    guest.write_line("typed while the pod was away")
    container.start()
    container.await_listening()
    chat.service.annotate(container.index, READY)
    guest.await_joined()
    guest.await_line("typed while the pod was away")
    check_guest(chat, guest)
    assert guest.pods == [container.pod, container.pod]
    assert history.pods(chat.link(guest)) == [container.index]


def test_rooms_of_a_killed_pod_that_does_not_come_back_move_to_others(chat: Chat, history: LinkRecorder) -> None:
    service, guest = chat.service, chat.join("alice")
    left = chat.container(guest)
    service.set_on_pod_lost("Rebind", grace_seconds=1)
    with service.pod_quota(2):
        left.kill()
        service.client.delete(Pod, left.pod, service.namespace)
        service.await_moved(chat.link(guest), left.index)
        guest.await_joined()
        check_guest(chat, guest, left)
    service.set_on_pod_lost("Rebind")
    service.await_pods(3)
    left.start()
    left.await_listening()
    check_guest(chat, guest, left)
    moved = chat.container(guest)
    assert guest.pods == [left.pod, moved.pod]
    assert history.pods(chat.link(guest)) == [left.index, moved.index]
