"""Runs the snippets of docs/guides/keep-state.md, with real drivers in a cluster in memory."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import statefulroute
from statefulroute.testing import InMemoryCluster
from support.recipes import load_recipe

PAGE = Path(__file__).parents[3] / "docs" / "guides" / "keep-state.md"
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

recipe = load_recipe("fenced_store")


@dataclass
class Game:
    """The state of a user, as the guide uses it."""

    text: str
    token: int
    is_leaving: bool = False


@pytest.fixture(scope="module")
def guide() -> dict[str, Any]:
    """What the snippets define, one after another."""
    names = {name: getattr(statefulroute, name) for name in statefulroute.__all__}
    defined = {**names, "asyncio": asyncio, "suppress": suppress, "InMemoryCluster": InMemoryCluster, "Game": Game}
    for snippet in SNIPPET.findall(PAGE.read_text(encoding="utf-8")):
        exec(compile(snippet, str(PAGE), "exec"), defined)  # noqa: S102 - the page is ours
    return defined


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    """The store of the recipe."""
    with closing(recipe.Store(str(tmp_path / "games.db"))) as store:
        yield store


async def check(guide: dict[str, Any], make_games: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Runs the guide's own test, and checks that the state has moved; returns what the two pods have."""
    before, after = await guide["try_it"](make_games)
    assert after.games["alice"].text == "onetwo"
    with pytest.raises(statefulroute.UserNotHeldError):
        before.play("alice", "late")
    return before, after


async def test_a_store_of_your_own(guide: dict[str, Any], store: Any) -> None:
    await check(guide, lambda driver: guide["StoredGames"](driver, store))


async def test_the_drivers_send_the_state(guide: dict[str, Any]) -> None:
    await check(guide, guide["SentGames"])


async def test_both(guide: dict[str, Any], store: Any) -> None:
    _, after = await check(guide, lambda driver: guide["SafeGames"](driver, store))
    token = after.games["alice"].token
    assert store.open("alice", token) == "onetwo"
    with pytest.raises(recipe.StaleTokenError):
        store.write("alice", "stale", token - 1)
