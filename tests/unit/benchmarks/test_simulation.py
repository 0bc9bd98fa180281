"""The simulation of many links: what it simulates is what there is, and it finds what goes wrong."""

import pytest

from measuring import simulated
from measuring.comparison import compared
from measuring.simulated_server import SimulatedServer
from statefulroute.api.vocabulary import LinkPhase
from statefulroute.cluster.wire import LINKS


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be right needs no long measurement."""
    monkeypatch.setattr(simulated, "_TRIES", 20)
    monkeypatch.setattr(simulated, "_LOOKUPS", 100)


async def test_links_are_listed_page_by_page_bound_and_acknowledged() -> None:
    server = SimulatedServer(links=5, pods=2)
    first = await server.get("/podlinks", {"limit": "3"})
    second = await server.get("/podlinks", {"limit": "3", "continue": LINKS.rest_of(first)})
    links = [*LINKS.decode_page(first).items, *LINKS.decode_page(second).items]
    assert [link.name for link in links] == [f"game.user-{number}" for number in range(5)]
    assert LINKS.rest_of(second) == ""
    assert {link.invalid for link in links} == {None}
    assert [link.pod for link in links] == [0, 1, 0, 1, 0]
    assert {link.acknowledged.phase for link in links if link.acknowledged} == {LinkPhase.BOUND}


async def test_an_operator_starts_without_a_write_and_binds_renews_and_removes() -> None:
    persistent = await simulated.operator(links=50, pods=3)
    assert persistent[simulated.WROTE] == 0
    temporary = await simulated.temporary(links=50, pods=3)
    figures = (*persistent.items(), *temporary.items())
    assert all(value > 0 for name, value in figures if name not in {simulated.WROTE, simulated.STALL})


async def test_a_resolver_finds_every_user() -> None:
    assert (await simulated.resolver(links=50, pods=3))[simulated.LOOKUPS] > 0


def test_figures_are_compared_where_as_many_links_were_measured_and_nowhere_else() -> None:
    rounds = {"10 links": [{simulated.PEAK: 90.0}], "20 links": [{simulated.PEAK: 100.0}]}
    measured = {"restart": {"options": {}, "rounds": {"10 links": [{"MiB at the peak": 100.0}]}}}
    assert compared(rounds, measured) == [
        {"links": "10 links", "figure": simulated.PEAK, "simulated": 90.0, "measured": 100.0, "ratio": 0.9}
    ]
