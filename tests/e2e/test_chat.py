"""The chat of the examples: servers at their pods' addresses, with their pods' rights, and a client that follows."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
import yaml
from pykube.objects import Pod

from support.chat import EXAMPLE, Accounts, CloseFrame, Container, Guest, stay, visit
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.link_recorder import LinkRecorder, recording
from support.load_servers import free_port
from support.objects import encoded_name
from support.rbac import apply_role
from support.service import NOT_READY, READY, Service
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")

#: The close codes of RFC 6455's registry: the service restarts, and try again later.
COME_AGAIN, NOT_HERE = 1012, 1013

_numbers = count()


@dataclass
class Chat:
    """The example as it stands, in a namespace of its own."""

    service: Service
    containers: Sequence[Container]
    client: Path
    guests: list[Guest] = field(default_factory=list)

    def starts(self, uid: str) -> Guest:
        """Somebody who is on the way into the room of this uid."""
        guest = Guest(uid, self.service.namespace, self.client)
        self.guests.append(guest)
        return guest

    def joins(self, name: str) -> Guest:
        """Somebody in a room that nobody has had before."""
        guest = self.starts(f"{name}-{next(_numbers)}")
        guest.await_joined()
        return guest

    def container(self, guest: Guest) -> Container:
        """Where a guest is now."""
        return next(each for each in self.containers if each.pod == guest.pods[-1])

    def link(self, guest: Guest) -> str:
        """The name of the link of a guest's room."""
        return f"chat.{guest.uid}"

    def holders(self, guest: Guest) -> list[str]:
        """The pods whose servers have this guest's room."""
        return [each.pod for each in self.containers if guest.uid in (each.rooms() or {})]


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
    """The chat, of which each pod serves and takes rooms; rooms of earlier tests are still there, without guests."""
    service = shared_chat.service
    for index in range(3):
        service.await_pod(index, serviceState="Ready", routingState="Ready", loadStale=None)
    yield shared_chat
    for guest in shared_chat.guests:
        guest.kill()
    shared_chat.guests.clear()
    remembered = {uid for each in shared_chat.containers for uid in each.rooms() or {}}
    for link in service.links():
        if link["spec"]["uid"] not in remembered:
            service.client.delete(PodLink, link["metadata"]["name"], service.namespace)


@contextmanager
def staying(container: Container, guest: Guest) -> Iterator["Future[CloseFrame]"]:
    """Somebody else in a guest's room, who looks at no links; gives how the room sends them away."""
    with ThreadPoolExecutor(1) as pool:
        stays = pool.submit(stay, container.address, guest.uid)
        eventually(lambda: (container.rooms() or {})[guest.uid] == 2, "two are in the room")
        yield stays


def goes_on(chat: Chat, guest: Guest, left: Container | None = None) -> None:
    """See that a guest is in the one room there is of its uid, where the link says, and is heard there."""
    guest.send(f"line {next(_numbers)}")
    assert guest.pods[-1] == chat.service.await_bound(chat.link(guest))["podName"]
    if left is not None:
        assert guest.pods[-1] != left.pod
    eventually(lambda: chat.holders(guest) == [guest.pods[-1]], f"only one pod has the room of {guest.uid}")


def test_three_join_talk_and_find_their_rooms_again_each_at_another_pod(chat: Chat) -> None:
    guests = []
    for name in ("alice", "bob", "carol"):
        guests.append(chat.joins(name))
        chat.service.await_status(links=len(guests))  # the next client has to know
    for guest in guests:
        goes_on(chat, guest)
        guest.send(f"{guest.uid} was here")
        guest.leave()
    again = [chat.starts(guest.uid) for guest in guests]
    for before, guest in zip(guests, again, strict=True):
        guest.await_joined()
        guest.await_line(f"{guest.uid} was here")
        goes_on(chat, guest)
        assert guest.pods == before.pods
    assert sorted(guest.pods[-1] for guest in guests) == ["chat-0", "chat-1", "chat-2"]


def test_a_room_is_refused_by_every_other_pod_with_the_name_of_its_own(chat: Chat) -> None:
    guest = chat.joins("alice")
    here = chat.container(guest)
    for other in chat.containers:
        if other is not here:
            assert stay(other.address, guest.uid) == CloseFrame(NOT_HERE, f"pod {here.index} holds the room")
    assert chat.holders(guest) == guest.pods


def test_a_room_that_nobody_has_yet_is_of_the_pod_where_somebody_joins(chat: Chat) -> None:
    uid = f"Guest {next(_numbers)}"
    assert visit(chat.containers[2].address, uid) == f"* {uid} is at chat-2"
    assert chat.service.await_bound(encoded_name("chat", uid))["podName"] == "chat-2"
    assert stay(chat.containers[1].address, uid) == CloseFrame(NOT_HERE, "pod 2 holds the room")


def test_a_drained_pod_keeps_its_rooms_and_a_shut_down_one_loses_them_to_others(
    chat: Chat, history: LinkRecorder
) -> None:
    service, guest = chat.service, chat.joins("alice")
    left = chat.container(guest)
    with staying(left, guest) as stays:
        service.edit_route(pods=[{"index": left.index, "routingState": "DenyNewCall"}])
        service.await_pod(left.index, routingState="DenyNewCall")
        newcomer = chat.joins("bob")
        assert newcomer.pods != guest.pods
        goes_on(chat, guest)
        service.edit_route(pods=[{"index": left.index, "routingState": "Shutdown"}])
        guest.await_joined()
        goes_on(chat, guest, left)
        moved = chat.container(guest)
        assert stays.result() == CloseFrame(COME_AGAIN, f"pod {moved.index} holds the room")
    service.edit_route(pods=None)
    goes_on(chat, newcomer)
    assert (guest.pods, newcomer.pods[1:]) == ([left.pod, moved.pod], [])
    assert history.pods(chat.link(guest)) == [left.index, moved.index]


def test_a_pod_that_ends_sends_its_rooms_to_others_before(chat: Chat, history: LinkRecorder) -> None:
    guest = chat.joins("alice")
    left = chat.container(guest)
    # A server that the operator believes to be empty ends at once, and has no time to send anybody away.
    chat.service.await_pod(left.index, links=len(left.rooms() or {}))
    with staying(left, guest) as stays, left.ending():
        assert stays.result() == CloseFrame(COME_AGAIN, "this pod is about to end")
        guest.await_joined()
        goes_on(chat, guest, left)
    goes_on(chat, guest, left)
    moved = chat.container(guest)
    assert guest.pods == [left.pod, moved.pod]
    assert list(dict.fromkeys(history.pods(chat.link(guest)))) == [left.index, moved.index]


def test_a_server_that_is_killed_has_its_rooms_again_when_it_is_back(chat: Chat, history: LinkRecorder) -> None:
    guest = chat.joins("alice")
    here = chat.container(guest)
    guest.send("all this is forgotten")
    here.kill()
    guest.await_line("* the room has closed")
    chat.service.annotate(here.index, NOT_READY)
    guest.await_line(f"* not now: the pod '{here.pod}' of the service 'chat' does not serve users now")
    guest.write_line("typed while the pod was away")
    here.start()
    here.await_listening()
    chat.service.annotate(here.index, READY)
    guest.await_joined()
    guest.await_line("typed while the pod was away")
    goes_on(chat, guest)
    assert guest.pods == [here.pod, here.pod]
    assert history.pods(chat.link(guest)) == [here.index]


def test_the_rooms_of_a_pod_that_is_killed_and_does_not_come_back_go_to_others(
    chat: Chat, history: LinkRecorder
) -> None:
    service, guest = chat.service, chat.joins("alice")
    left = chat.container(guest)
    service.set_on_pod_lost("Rebind", grace_seconds=1)
    with service.pod_quota(2):
        left.kill()
        service.client.delete(Pod, left.pod, service.namespace)
        service.await_moved(chat.link(guest), left.index)
        guest.await_joined()
        goes_on(chat, guest, left)
    service.set_on_pod_lost("Rebind")
    service.await_pods(3)
    left.start()
    left.await_listening()
    goes_on(chat, guest, left)
    moved = chat.container(guest)
    assert guest.pods == [left.pod, moved.pod]
    assert history.pods(chat.link(guest)) == [left.index, moved.index]
