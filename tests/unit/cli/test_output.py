"""How commands write: tables that fit, and texts that cannot do anything."""

import io

import pytest

from statefulroute.cli.objects import full_name
from statefulroute.cli.options import Output
from statefulroute.cli.output.objects import ObjectWriter
from statefulroute.cli.output.table import Cell, Table
from statefulroute.cli.output.terminal import Terminal, width


def terminal(columns: int = 80, *, is_terminal: bool = True) -> Terminal:
    return Terminal(io.StringIO(), columns, is_terminal)


def written(place: Terminal) -> list[str]:
    assert isinstance(place.stream, io.StringIO)
    return place.stream.getvalue().splitlines()


@pytest.fixture(autouse=True)
def _without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (80, f"a   1 {'█' * 10:20}   2 {'█' * 5:20}   end"),
        (33, f"a   1 {'█' * 4:8}   2 {'█' * 2:8}   end"),
        (25, "a   1 ██     2 █      end"),
        (24, "a   1 ████       2   end"),
        (20, "a   1 ██     2   end"),
        (19, "a   1   2   end"),
        (5, "a   1   2   end"),
    ],
)
def test_bars_take_the_room_that_is_left_and_the_last_ones_go_first(columns: int, line: str) -> None:
    place = terminal(columns)
    Table(place, ["", "", "", ""], no_header=True).write(
        [["a", Cell("1", fraction=0.5), Cell("2", fraction=0.25), "end"]]
    )
    assert written(place) == [line]


def test_without_a_terminal_there_are_no_bars_and_columns_are_as_wide_as_they_need() -> None:
    place = terminal(20, is_terminal=False)
    Table(place, ["NAME", "LOAD"]).write([["x" * 40, Cell("1", "bad", 0.5)]])
    assert written(place) == ["NAME" + " " * 39 + "LOAD", "x" * 40 + "   1"]


def test_a_later_row_that_needs_more_room_widens_its_column_from_then_on() -> None:
    place = terminal()
    table = Table(place, ["UID", "POD"])
    table.write([["alice", "game-0"]])
    table.write([["alexandra", "game-1"], ["bo", "game-2"]])
    assert written(place) == ["UID     POD", "alice   game-0", "alexandra   game-1", "bo          game-2"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\u202eb", "a\\u202eb"),
        ("tab\tnew\nline", "tab\\tnew\\nline"),
        ("Guest 7", "Guest 7"),
    ],
)
def test_no_text_can_move_the_cursor_or_turn_the_line(text: str, shown: str) -> None:
    place = terminal()
    Table(place, ["UID"], no_header=True).write([[text]])
    assert written(place) == [shown]


def test_signs_of_two_columns_and_of_none_are_counted_as_such() -> None:
    assert (width("日本"), width("e\u0301"), width("abc")) == (4, 1, 3)


def test_where_the_encoding_lacks_a_sign_it_is_spelt_out_and_bars_are_of_plain_signs() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    place = Terminal(stream, 30, is_terminal=True)
    Table(place, ["UID", "LOAD"], no_header=True).write([["日", Cell("1", fraction=0.5)]])
    stream.seek(0)
    assert stream.read() == "\\u65e5    1    ##########\n"


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours_are_shown_unless_somebody_says_no(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    place = terminal()
    assert (place.styled("Ready", "good") == "\x1b[32mReady\x1b[0m") == coloured
    assert terminal(is_terminal=False).styled("Ready", "good") == "Ready"


def test_an_object_is_named_as_kubectl_takes_it() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "game-0"}}
    link = {"apiVersion": "statefulroute.io/v1alpha1", "kind": "PodLink", "metadata": {"name": "game.alice"}}
    assert (full_name(pod), full_name(link)) == ("pod/game-0", "podlink.statefulroute.io/game.alice")


def test_a_text_of_several_lines_stays_whole_in_a_list_of_yaml() -> None:
    import yaml  # noqa: PLC0415 - only here

    item = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": {"say": "one\n\ntwo\n"}}}
    place = terminal()
    objects = ObjectWriter(place, Output.YAML)
    objects.write([item, item])
    objects.close()
    assert yaml.safe_load("\n".join(written(place)))["items"] == [item, item]
