"""The last hour of routes."""

from datetime import timedelta

from statefulroute.console.history import History, Sample
from statefulroute.domain.keys import RouteKey
from support.console import NOON

GAME, CHAT = RouteKey("play", "game"), RouteKey("play", "chat")


def test_has_levels_and_rates_of_each_route() -> None:
    history = History()
    for number, load in enumerate([None, 2, 3]):
        samples = [Sample(GAME, 10 + number, load, 5 * number, number)] + [Sample(CHAT, 1, 0, 0, 0)] * (number > 0)
        history.record(NOON + timedelta(seconds=15 * number), samples)
    game, chat = history.of_route(GAME), history.of_route(CHAT)
    start = int(NOON.timestamp())
    assert (game.times, game.links, game.load) == ([start, start + 15, start + 30], [10, 11, 12], [None, 2, 3])
    assert (game.bound, game.moved) == ([0, 20, 20], [0, 4, 4])
    assert (chat.times, chat.links) == ([start + 15, start + 30], [1, 1])


def test_keeps_an_hour_and_forgets_deleted_routes() -> None:
    history = History()
    for number in range(300):
        samples = [Sample(GAME, number, None, 0, 0)] + [Sample(CHAT, 0, None, 0, 0)] * (number < 250)
        history.record(NOON + timedelta(seconds=15 * number), samples)
    game = history.of_route(GAME)
    assert (len(game.times), game.links[0], game.links[-1]) == (240, 60, 299)
    assert game.times[-1] - game.times[0] == 239 * 15
    assert history.of_route(CHAT).times == []
    assert all(len(each) == 240 for each in (game.load, game.bound, game.moved))


def test_a_route_that_is_created_again_has_no_negative_rates() -> None:
    history = History()
    for number, bound in enumerate([0, 40, 2]):
        history.record(NOON + timedelta(seconds=15 * number), [Sample(GAME, 1, None, bound, bound)])
    assert history.of_route(GAME).bound == history.of_route(GAME).moved == [0, 160, 8]
