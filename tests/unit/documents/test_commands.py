"""Tests that the commands in the documents exist: subcommands, options, make targets, values of the chart, and files.

The commands in `console` blocks are run by tests/cli/test_pages.py; these tests check all others, which need a cluster
with containers, a gateway or another setup.
"""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from statefulroute.cli.app import LazyCommand, app

ROOT = Path(__file__).parents[3]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")]
DOCUMENTS = sorted(PAGES)

#: A line of an indented or fenced block, and code within a sentence.
LINE = re.compile(r"^(?:    )?(?:\$ )?((?:kubectl|statefulroute|make|helm) .+)$", re.MULTILINE)
INLINE = re.compile(r"`((?:kubectl statefulroute|make) [^`]+)`")

FOLDERS = ("charts/", "crds/", "deploy/", "examples/")


def commands(document: Path) -> Iterator[list[str]]:
    """Returns the words of each command, without what follows a pipe, a redirection or a comment."""
    text = document.read_text(encoding="utf-8").replace("\\\n", " ")
    for found in (*LINE.findall(text), *INLINE.findall(text)):
        try:
            words = shlex.split(found, comments=True)
        except ValueError:  # a quotation that goes on in the next line
            continue
        ends = [number for number, word in enumerate(words) if word in {"|", ">", "&&", "&"}]
        yield words[: min(ends, default=len(words))]


@cache
def _options(name: str) -> set[str]:
    """Returns the options of a command and of its own subcommands."""
    command: Any = typer.main.get_command(app)
    command = command.commands[name]
    command = command.load() if isinstance(command, LazyCommand) else command
    parts = [command, *getattr(command, "commands", {}).values()]
    found = {option for part in parts for param in part.params for option in (*param.opts, *param.secondary_opts)}
    return found | {"--help"}


@cache
def _targets() -> set[str]:
    return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@cache
def _values() -> Any:
    return yaml.safe_load((ROOT / "charts/statefulroute/values.yaml").read_text(encoding="utf-8"))


def _problems(words: list[str]) -> Iterator[str]:
    program, *rest = words
    if program == "kubectl" and rest[:1] == ["statefulroute"]:
        program, *rest = rest
    if program == "statefulroute":
        yield from _unknown_options(rest)
    elif program == "make":
        names = [word for word in rest if re.fullmatch(r"[a-z][a-z-]*", word)]
        yield from (f"make has no target {name}" for name in names if name not in _targets())
    elif program == "helm":
        yield from _unknown_values(rest)
    paths = [word for word in rest if word.startswith(FOLDERS)]
    yield from (f"{path} does not exist" for path in paths if not (ROOT / path).exists())


def _unknown_options(words: list[str]) -> Iterator[str]:
    group: Any = typer.main.get_command(app)
    if not words or not re.match(r"-|[a-z][a-z-]*$", words[0]):
        return  # the program itself
    name = next((word for word in words if word in group.commands), None)
    if name is None and not words[0].startswith("-"):
        yield f"there is no command {words[0]}"
    if name is not None:
        used = [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]
        yield from (f"{name} has no option {each}" for each in used if each not in _options(name))


def _unknown_values(words: list[str]) -> Iterator[str]:
    settings = [words[number + 1] for number, word in enumerate(words) if word == "--set"]
    for key in (part.split("=")[0] for each in settings for part in re.split(r",(?![^{]*})", each)):
        place = _values()
        for name in key.split("."):
            place = place.get(name) if isinstance(place, dict) and name in place else KeyError
        if place is KeyError:
            yield f"the chart has no value {key}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_exist(document: Path) -> None:
    assert [(words, problem) for words in commands(document) for problem in _problems(words)] == []


def test_commands_are_found() -> None:
    found = [words[:2] for words in commands(ROOT / "docs/get-started/on-a-cluster.md")]
    assert {("make", "image"), ("helm", "install"), ("kubectl", "statefulroute")} <= {tuple(words) for words in found}
