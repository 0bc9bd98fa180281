"""Values that need no conversion are passed on as they are, and all others are converted as by typer."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from statefulroute.cli.plain_values import PlainCommand


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


def _upper(value: str) -> str:
    if value == "no":
        raise typer.BadParameter("write yes")
    return value.upper()


def run(*arguments: str) -> tuple[list[Any], str]:
    """Runs a command with an option of each type; returns their values, and what it prints on the standard error."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    received: list[Any] = []

    @app.command(cls=PlainCommand)
    def command(  # noqa: PLR0913 - an option each
        *,
        text: str | None = None,
        words: list[str] | None = None,
        number: Annotated[int, typer.Option(min=2, max=9)] = 3,
        color: Color = Color.RED,
        file: Path | None = None,
        parsed: Annotated[str, typer.Option(parser=_upper)] = "x",
        flag: bool = False,
    ) -> None:
        received.extend([text, words, number, color, file, parsed, flag])

    result = CliRunner().invoke(app, arguments)
    return received, result.stderr


DEFAULTS = [None, None, 3, Color.RED, None, "X", False]


@pytest.mark.parametrize(
    ("arguments", "index", "value"),
    [
        ([], 0, None),
        (["--text", "7"], 0, "7"),
        (["--words", "a", "--words", "b"], 1, ["a", "b"]),
        (["--number", "7"], 2, 7),
        (["--number", "2"], 2, 2),
        (["--number", "+09"], 2, 9),
        (["--color", "blue"], 3, Color.BLUE),
        (["--file", "a/b"], 4, Path("a/b")),
        (["--file", "/"], 4, Path("/")),
        (["--parsed", "yes"], 5, "YES"),
        (["--flag"], 6, True),
    ],
)
def test_value_has_the_type_of_its_option(arguments: list[str], index: int, value: object) -> None:
    received, _ = run(*arguments)
    expected = [*DEFAULTS]
    expected[index] = value
    assert received == expected
    assert [type(each) for each in received] == [type(each) for each in expected]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--number", "seven"], "--number"),
        (["--number", "10"], "--number"),
        (["--number", "1"], "--number"),
        (["--number", "9" * 5000], "--number"),
        (["--color", "green"], "'green' is not one of 'red', 'blue'"),
        (["--parsed", "no"], "write yes"),
    ],
)
def test_value_of_another_type_is_refused(arguments: list[str], message: str) -> None:
    received, error = run(*arguments)
    assert received == []
    assert message in error
