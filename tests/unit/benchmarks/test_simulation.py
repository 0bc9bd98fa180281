"""Tests that the simulation matches the real API server and reports errors."""

import pytest
from structlog.testing import capture_logs

from measuring import simulation
from measuring.comparison import compare
from measuring.simulated_server import SimulatedServer
from statefulroute.api.vocabulary import LinkPhase
from statefulroute.cluster.codec import LINKS
from statefulroute.cluster.pager import list_metadata


@pytest.fixture(autouse=True)
def short_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the simulation short."""
    monkeypatch.setattr(simulation, "_SAMPLES", 20)
    monkeypatch.setattr(simulation, "_LOOKUPS", 100)


async def test_lists_bound_links_page_by_page() -> None:
    server = SimulatedServer(links=5, pods=2)
    first = await server.get("/podlinks", {"limit": "3"})
    second = await server.get("/podlinks", {"limit": "3", "continue": list_metadata(first).continue_token})
    links = [*LINKS.decode_page(first).items, *LINKS.decode_page(second).items]
    assert [link.name for link in links] == [f"game.user-{number}" for number in range(5)]
    assert list_metadata(second).continue_token == ""
    assert {link.violation for link in links} == {None}
    assert [link.pod for link in links] == [0, 1, 0, 1, 0]
    assert {link.status.phase for link in links if link.status} == {LinkPhase.BOUND}


async def test_operator_starts_without_a_write_and_binds_renews_and_removes() -> None:
    persistent = await simulation.operator(links=50, pods=3)
    assert persistent[simulation.WROTE] == 0
    temporary = await simulation.temporary(links=50, pods=3)
    figures = (*persistent.items(), *temporary.items())
    assert all(value > 0 for name, value in figures if name not in {simulation.WROTE, simulation.STALL})


async def test_resolver_finds_every_user() -> None:
    assert (await simulation.resolver(links=50, pods=3))[simulation.LOOKUPS] > 0


async def test_links_of_several_pages_are_read_without_an_error() -> None:
    with capture_logs() as lines:
        await simulation.operator(links=2_100, pods=3)
        await simulation.resolver(links=2_100, pods=3)
    assert [line for line in lines if line["log_level"] in {"warning", "error"}] == []


def test_compares_figures_only_at_measured_sizes() -> None:
    rounds = {"10 links": [{simulation.PEAK: 90.0}], "20 links": [{simulation.PEAK: 100.0}]}
    measured = {"restart": {"options": {}, "rounds": {"10 links": [{"MiB at the peak": 100.0}]}}}
    assert compare(rounds, measured) == [
        {"links": "10 links", "figure": simulation.PEAK, "simulated": 90.0, "measured": 100.0, "ratio": 0.9}
    ]
