"""Tests which pod a uid is linked to that a response names, and which responses must not reach the client."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest
from structlog.testing import capture_logs

from statefulroute.domain.address import Address
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.route import Route
from statefulroute.resolver.binder import Binder
from statefulroute.resolver.cache import ResolverCache
from statefulroute.resolver.endpoint_picker import Pick
from statefulroute.resolver.response_linker import ResponseLinker
from statefulroute.rest.problems import ProblemError, ProblemKind

GAME = RouteKey("play", "game")
PICK = Pick("game-0", "10.0.0.1:7777", is_linked=False)


@dataclass
class Response:
    """A response of a server."""

    headers: Mapping[str, Sequence[str]]
    query: str = ""

    def header(self, name: str) -> Sequence[str]:
        return self.headers.get(name, ())


class Cache:
    """Three pods; the status of the route does not list the last one."""

    def route(self, key: RouteKey) -> RouteKey:
        assert key == GAME
        return key

    def pod_key(self, route: Route, name: str) -> PodKey:
        del route
        return int(name.rpartition("-")[2])

    def reachable_addresses(self, route: Route) -> Mapping[PodKey, Address]:
        del route
        return {pod: address(pod) for pod in range(2)}

    def unlisted_available_addresses(self, route: Route) -> Iterator[Address]:
        del route
        yield address(2)


@dataclass
class Links:
    """Binds uids that are not bound yet."""

    pods: dict[str, PodKey] = field(default_factory=dict)

    async def bind_to(self, key: RouteKey, uid: str, pod: PodKey) -> PodKey:
        assert key == GAME
        return self.pods.setdefault(uid, pod)


def address(pod: int) -> Address:
    return Address(f"game-{pod}", f"10.0.0.{pod + 1}", f"game-{pod}.game.play.svc", 7777)


@dataclass
class Setup:
    """A linker, and what it has done."""

    links: Links
    results: list[str]
    linker: ResponseLinker

    async def respond(self, *sessions: str, served: str | None = None, status: str = "200") -> None:
        headers = {"mcp-session-id": sessions} | ({":status": (status,)} if status else {})
        await self.linker.link(GAME, PICK, served, Response(headers))


@pytest.fixture
def setup() -> Setup:
    links, results = Links(), list[str]()
    linker = ResponseLinker(cast("ResolverCache", Cache()), cast("Binder", links), "Mcp-Session-Id", results.append)
    return Setup(links, results, linker)


@pytest.mark.parametrize(
    ("served", "pod"), [(None, 0), ("10.0.0.1:7777", 0), ("10.0.0.2:7777", 1), ("10.0.0.3:7777", 2)]
)
async def test_uid_is_linked_to_the_pod_that_has_responded(setup: Setup, served: str | None, pod: int) -> None:
    await setup.respond("s-1", served=served)
    assert (setup.links.pods, setup.results) == ({"s-1": pod}, ["named"])


@pytest.mark.parametrize("status", ["", "200", "202"])
async def test_uid_of_a_success_is_linked(setup: Setup, status: str) -> None:
    await setup.respond("s-1", status=status)
    assert setup.links.pods == {"s-1": 0}


@pytest.mark.parametrize("status", ["101", "302", "404", "500"])
async def test_uid_of_another_response_is_not_linked(setup: Setup, status: str) -> None:
    await setup.respond("s-1", status=status)
    assert (setup.links.pods, setup.results) == ({}, [])


@pytest.mark.parametrize("sessions", [[], [""]])
async def test_response_without_a_uid_is_passed_on(setup: Setup, sessions: Sequence[str]) -> None:
    await setup.respond(*sessions, served="10.9.9.9:1")
    assert (setup.links.pods, setup.results) == ({}, [])


async def test_uid_of_another_pod_stays_there(setup: Setup) -> None:
    setup.links.pods["s-1"] = 1
    with capture_logs() as logs:
        await setup.respond("s-1")
    assert (setup.links.pods, setup.results) == ({"s-1": 1}, ["conflicting"])
    assert [(line["log_level"], line["link"], line["pod"]) for line in logs] == [("warning", "game.s-1", 0)]


async def test_route_is_warned_of_once_in_a_while(setup: Setup) -> None:
    setup.links.pods.update({"s-1": 1, "s-2": 1})
    with capture_logs() as logs:
        for session in ("s-1", "s-2", "s-1"):
            await setup.respond(session)
    assert (len(logs), setup.results) == (1, ["conflicting"] * 3)


@pytest.mark.parametrize("sessions", [["s-1", "s-2"], ["a" * 190], ["a\x00b"], ["a\udcff"]])
async def test_response_with_an_unusable_uid_is_refused(setup: Setup, sessions: Sequence[str]) -> None:
    with pytest.raises(ProblemError, match=r"^the header mcp-session-id of the server's") as refused:
        await setup.respond(*sessions)
    assert refused.value.kind is ProblemKind.UNUSABLE_RESPONSE
    assert setup.links.pods == {}


async def test_response_of_a_pod_that_is_not_known_is_refused(setup: Setup) -> None:
    with pytest.raises(ProblemError, match=r"^the gateway got the response from 10\.9\.9\.9:1, which is no") as refused:
        await setup.respond("s-1", served="10.9.9.9:1")
    assert refused.value.kind is ProblemKind.UNUSABLE_RESPONSE
    assert setup.links.pods == {}
