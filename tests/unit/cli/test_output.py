"""Tables, terminals and lists of objects."""

import io

import pytest

from statefulroute.cli.objects import full_name
from statefulroute.cli.output.formats import Output
from statefulroute.cli.output.objects import ObjectWriter
from statefulroute.cli.output.table import Cell, Table
from statefulroute.cli.output.terminal import Terminal, width


def terminal(columns: int = 80, *, is_terminal: bool = True) -> Terminal:
    return Terminal(io.StringIO(), columns, is_terminal)


def lines_of(output: Terminal) -> list[str]:
    assert isinstance(output.stream, io.StringIO)
    return output.stream.getvalue().splitlines()


@pytest.fixture(autouse=True)
def _without_colors(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_bars_take_the_free_columns_and_the_last_is_dropped_first(columns: int, line: str) -> None:
    output = terminal(columns)
    Table(output, ["", "", "", ""], no_header=True).write(
        [["a", Cell("1", fraction=0.5), Cell("2", fraction=0.25), "end"]]
    )
    assert lines_of(output) == [line]


def test_output_without_a_terminal_has_no_bars_and_is_not_truncated() -> None:
    output = terminal(20, is_terminal=False)
    Table(output, ["NAME", "LOAD"]).write([["x" * 40, Cell("1", "bad", 0.5)]])
    assert lines_of(output) == ["NAME" + " " * 39 + "LOAD", "x" * 40 + "   1"]


def test_wider_row_widens_its_column_for_later_rows() -> None:
    output = terminal()
    table = Table(output, ["UID", "POD"])
    table.write([["alice", "game-0"]])
    table.write([["alexandra", "game-1"], ["bo", "game-2"]])
    assert lines_of(output) == ["UID     POD", "alice   game-0", "alexandra   game-1", "bo          game-2"]


@pytest.mark.parametrize("no_header", [True, False])
def test_optional_column_appears_with_its_first_value(*, no_header: bool) -> None:
    output = terminal()
    table = Table(output, ["POD", "CLOSING", "REVISION"], no_header=no_header, optional=2)
    table.write([["game-0", "-", "-"]])
    table.write([["game-1", "-", "v2"], ["game-2", "-", "-"]])
    table.write([["game-3", "-", "-"]])
    rows = ["POD", "game-0", "POD      REVISION", "game-1   v2", "game-2   -", "game-3   -"]
    assert lines_of(output) == [row for row in rows if not (no_header and "POD" in row)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\u202eb", "a\\u202eb"),
        ("tab\tnew\nline", "tab\\tnew\\nline"),
        ("Guest 7", "Guest 7"),
    ],
)
def test_table_escapes_unprintable_characters(text: str, shown: str) -> None:
    output = terminal()
    Table(output, ["UID"], no_header=True).write([[text]])
    assert lines_of(output) == [shown]


def test_width_counts_wide_and_combining_characters() -> None:
    assert (width("日本"), width("e\u0301"), width("abc")) == (4, 1, 3)


def test_ascii_stream_gets_escaped_characters_and_plain_bars() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    output = Terminal(stream, 30, is_terminal=True)
    Table(output, ["UID", "LOAD"], no_header=True).write([["日", Cell("1", fraction=0.5)]])
    stream.seek(0)
    assert stream.read() == "\\u65e5    1    ##########\n"


@pytest.mark.parametrize(
    ("environment", "has_colors"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colors_are_shown_unless_disabled_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], has_colors: bool
) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    output = terminal()
    assert (output.styled("Ready", "good") == "\x1b[32mReady\x1b[0m") == has_colors
    assert terminal(is_terminal=False).styled("Ready", "good") == "Ready"


def test_full_name_has_the_format_of_kubectl() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "game-0"}}
    link = {"apiVersion": "statefulroute.io/v1alpha1", "kind": "PodLink", "metadata": {"name": "game.alice"}}
    assert (full_name(pod), full_name(link)) == ("pod/game-0", "podlink.statefulroute.io/game.alice")


def test_yaml_list_keeps_multi_line_strings() -> None:
    import yaml  # noqa: PLC0415 - only here

    item = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": {"say": "one\n\ntwo\n"}}}
    output = terminal()
    objects = ObjectWriter(output, Output.YAML)
    objects.write([item, item])
    objects.close()
    assert yaml.safe_load("\n".join(lines_of(output)))["items"] == [item, item]
