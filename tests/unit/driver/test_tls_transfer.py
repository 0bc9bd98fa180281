"""The transfer of states by TLS, with certificates that are replaced."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from statefulroute import HandOverError, InvalidParameterError
from statefulroute.driver.transfer.tls import TLSContexts
from support.pod_certificates import PodAuthority
from support.transferring_pods import Pods


async def state() -> AsyncIterator[bytes]:
    yield b"state"


@pytest.fixture
def pods(tmp_path: Path) -> Pods:
    return Pods(tmp_path / "pods")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> None:
    (tmp_path / "pods").mkdir()


async def test_states_are_sent_between_pods_of_one_authority(pods: Pods, tmp_path: Path) -> None:
    authority = PodAuthority()
    files = [authority.write(tmp_path / name) for name in ("zero", "one")]
    async with pods.pod(0, tls=files[0]) as old, pods.pod(1, tls=files[1]):
        await old.send("game", "alice", 1, state())
    assert pods.acceptor.taken == [("game", "alice", "game-0", b"state")]


@pytest.mark.parametrize("stranger", ["receiver", "sender"])
async def test_pods_of_another_authority_are_refused(pods: Pods, tmp_path: Path, stranger: str) -> None:
    """Also if only one of the two pods would notice."""
    known, other = PodAuthority(), PodAuthority()
    files = {"receiver": known.write(tmp_path / "receiver"), "sender": known.write(tmp_path / "sender")}
    trusted = files[stranger].ca.read_bytes()
    other.write(tmp_path / stranger)
    files[stranger].ca.write_bytes(trusted)  # it trusts the other pod, which does not trust it
    async with pods.pod(0, tls=files["sender"]) as old, pods.pod(1, tls=files["receiver"]):
        with pytest.raises(HandOverError, match="connection to the new pod has failed"):
            await old.send("game", "alice", 1, state())
    assert pods.acceptor.taken == []


async def test_name_of_the_certificate_is_verified_if_it_is_given(pods: Pods, tmp_path: Path) -> None:
    authority = PodAuthority()
    right, wrong = (authority.write(tmp_path / name, server_name=f"{name}.play.svc") for name in ("game", "chat"))
    receiver = authority.write(tmp_path / "receiver", "game.play.svc")
    async with pods.pod(0, tls=right) as old, pods.pod(2, tls=wrong) as other, pods.pod(1, tls=receiver):
        await old.send("game", "alice", 1, state())
        with pytest.raises(HandOverError, match="connection to the new pod has failed"):
            await other.send("game", "alice", 1, state())
    assert len(pods.acceptor.taken) == 1


async def test_client_without_a_certificate_learns_nothing(pods: Pods, tmp_path: Path) -> None:
    """Not even the token of the pod."""
    authority = PodAuthority()
    files = authority.write(tmp_path / "one")
    anonymous = ssl.create_default_context(cafile=files.ca)
    anonymous.check_hostname = False
    async with pods.pod(1, tls=files):
        response = b""
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.3", pods.port, ssl=anonymous)
            writer.write(b"GET /v1/identity HTTP/1.1\r\nHost: game-1\r\n\r\n")
            response = await reader.read()
            writer.close()
        assert response == b""
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.3", pods.port)
            writer.write(b"GET /v1/identity HTTP/1.1\r\nHost: game-1\r\n\r\n")
            response = await reader.read()
            writer.close()
        assert b"token" not in response


async def test_replaced_certificates_and_authorities_are_used(pods: Pods, tmp_path: Path) -> None:
    first, second = PodAuthority(), PodAuthority()
    folders = [tmp_path / name for name in ("zero", "one")]
    files = [first.write(folder) for folder in folders]
    async with pods.pod(0, tls=files[0]) as old, pods.pod(1, tls=files[1]):
        await old.send("game", "alice", 1, state())
        second.write(folders[1])
        async with pods.pod(2, tls=files[0]) as another:  # without a connection of before
            with pytest.raises(HandOverError, match="connection to the new pod has failed"):
                await another.send("game", "alice", 1, state())
        second.write(folders[0])
        await old.send("game", "alice", 1, state())
        assert len(pods.acceptor.taken) == 2
        files[0].key.write_text("half of a key")  # a replacement in progress
        await old.send("game", "alice", 1, state())
        assert len(pods.acceptor.taken) == 3


def test_missing_file_is_named(tmp_path: Path) -> None:
    files = PodAuthority().write(tmp_path / "one")
    files.key.unlink()
    with pytest.raises(OSError, match="No such file"):
        TLSContexts(files)


async def test_missing_file_is_an_invalid_parameter(pods: Pods, tmp_path: Path) -> None:
    files = PodAuthority().write(tmp_path / "one")
    files.ca.unlink()
    with pytest.raises(InvalidParameterError, match=r"^hand_over.tls names files that cannot be read"):
        async with pods.pod(0, tls=files):
            pass
